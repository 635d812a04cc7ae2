from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from coti.core.errors import ConfigError, ModelError
from coti.core.weights import hash_of
from coti.encoders.inception import InceptionEncoder
from coti.metrics.frechet import frechet_distance
from coti.metrics.judge import embed_references, judge_images
from coti.settings import EvaluationSettings
from tests.coti.metrics.test_judge import MeanColour


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inception-v3's state in torch-fidelity's format, random: the real file can't be had here."""
    from torch_fidelity import feature_extractor_inceptionv3 as library

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    with pytest.MonkeyPatch.context() as patch:
        # Only to build the network without its weights: what it then loads is itself.
        patch.setattr(library, "load_state_dict_from_url", lambda *_, **__: {})
        network = library.FeatureExtractorInceptionV3
        patch.setattr(network, "load_state_dict", lambda *_: None)
        state = network("inception-v3-compat", ["2048"]).state_dict()
    torch.save(state, path)
    return path


@pytest.mark.slow
def test_features_are_torch_fidelitys(weights: Path) -> None:
    """2,048 of them, in any batch size; the hash is checked before the file is read."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    images = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8)
    encoder = InceptionEncoder(str(weights), hash_of(weights), batch_size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
        )
    found = encoder.encode_images(images)
    assert found.shape == (3, 2048)
    torch.testing.assert_close(found, theirs(images)[0])
    with pytest.raises(ModelError, match="is not the pinned weights"):
        InceptionEncoder(str(weights), EvaluationSettings().inception_sha256)


class FewFeatures(MeanColour):
    """Stands in for Inception's 2,048 features, which would need as many images."""


def test_fid_is_the_distance_on_these_features() -> None:
    """Beside the judge's own, under the name that is reserved for it."""
    settings = EvaluationSettings(captions=("dog",), kid_subsets=2, kid_subset_size=4)
    generator = torch.Generator().manual_seed(0)
    real, generated = torch.randint(0, 256, (2, 9, 3, 4, 4), generator=generator).to(torch.uint8)
    judge, inception = MeanColour(), FewFeatures()
    references = embed_references(judge, "cat", real, settings, inception)
    verdict = judge_images(judge, generated, references, "cat", settings, 0, inception)
    features = [inception.encode_images(images) for images in (generated, real)]
    assert verdict["fid"] == frechet_distance(*features)
    assert "fid" not in judge_images(judge, generated, references, "cat", settings, 0)


def test_the_authors_r_precision_has_1001_candidates() -> None:
    """The own caption among the 200 nearest of ImageNet's 1,000 and itself."""
    settings = EvaluationSettings(authors_r_precision=True, imagenet_captions=99)
    judge = MeanColour()
    references = embed_references(judge, "cat", None, settings)
    assert references["authors_captions"].shape == (1001, 3)
    green = torch.zeros(4, 3, 4, 4, dtype=torch.uint8)
    green[:, 1] = 200
    verdict = judge_images(judge, green, references, "cat", settings, 0)
    assert verdict["r_precision_top200_1001"] == 1.0
    assert verdict["r_precision_candidates"] == 100
    blue = green.roll(1, dims=1)
    assert judge_images(judge, blue, references, "cat", settings, 0)["r_precision"] == 0.0
    with pytest.raises(ConfigError, match="imagenet_captions is 2000: a count from 0 to 1000"):
        EvaluationSettings(imagenet_captions=2000)
