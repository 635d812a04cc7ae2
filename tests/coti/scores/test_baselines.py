from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from coti.core.errors import ConfigError, ModelError
from coti.core.images import read_image_folder
from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0, load_efficientnet
from coti.scores.baselines import baseline_label, baseline_scores
from coti.scores.baselines.degraded_ratings import graded_degradations
from coti.scores.baselines.inception_score import inception_contribution
from coti.scores.baselines.lpips import published_lpips
from coti.scores.baselines.mobilenet import imagenet_pixels, mobilenet_features
from coti.scores.baselines.relic import RelationHead, published_relic
from coti.scores.baselines.tanet import ThemeHeads, published_tanet
from coti.scores.baselines.vlad import aggregate, local_descriptors, vlad_similarity
from coti.settings import BaselineSettings

SETTINGS = BaselineSettings(side=64, steps=30)


@pytest.fixture(scope="module")
def seeds() -> torch.Tensor:
    """Ten real images, uint8 [10, 3, 32, 32]."""
    return read_image_folder("assets/pools/ankle_boot/seeds", 32)[1]


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    """The published weights at a small size."""
    return load_efficientnet(side=64)


def test_the_published_weights_load_with_their_hash(
    network: EfficientNetLite0, seeds: torch.Tensor
) -> None:
    """320 features and 1,000 classes, finite, and not the same for two images."""
    features = network.encode_images(seeds)
    assert features.shape == (10, network.size)
    assert torch.isfinite(features).all()
    assert features.std(dim=0).max() > 0
    assert network.logits(seeds[:2]).shape == (2, 1000)


def test_another_models_file_is_refused(tmp_path: Path) -> None:
    """One sentence with the file's name."""
    torch.save({"weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other\.pth.*fit"):
        load_efficientnet(tmp_path / "other.pth")


def test_is_likes_sure_and_rare_classes() -> None:
    """KL to the marginal: an undecided image gives least, the only one of its class most."""
    sure = 50 * torch.eye(2)
    logits = torch.cat([sure[:1], sure[:1], sure[1:], torch.zeros(1, 2)])
    common, _, rare, undecided = inception_contribution(logits).tolist()
    assert rare > common > undecided >= 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["is", "lpips", "relic", "tanet", "vlad", "sd_chad"])
def test_every_score_ranks_a_pool(
    name: str, network: EfficientNetLite0, seeds: torch.Tensor
) -> None:
    """Finite, one an image, the same again; seeds score above their worst degradations where the
    score is a distance to the seeds or was fitted to degradations."""
    rated = graded_degradations(seeds, 1)
    worst = rated.images[rated.ratings <= 1.5]
    pool = torch.cat([seeds, worst])
    generator = torch.Generator().manual_seed(0)
    features = TensorBundle({"pool": torch.randn(len(pool), 128, generator=generator)})
    first, second = (
        baseline_scores(name, pool, seeds, features, SETTINGS, network, 0) for _ in range(2)
    )
    assert first.shape == (len(pool),)
    assert torch.isfinite(first).all()
    assert torch.equal(first, second)
    if name in ("lpips", "relic", "tanet", "vlad"):
        assert first[:10].mean() > first[10:].mean()


def test_vlad_of_an_image_is_nearest_to_itself(seeds: torch.Tensor) -> None:
    """Vectors have length 1; a pool that holds the only seed ranks it first."""
    descriptors = local_descriptors(seeds)
    vectors = aggregate(descriptors, descriptors[0, :4])
    assert torch.allclose(vectors.norm(dim=1), torch.ones(10))
    assert int(vlad_similarity(seeds, seeds[3:4], 0).argmax()) == 3


def test_labels_say_what_was_retrained() -> None:
    """Without published weights; with a path the plain name."""
    assert baseline_label("relic", SETTINGS) == "ReLIC (retrained)"
    assert baseline_label("relic", BaselineSettings(relic="relic.safetensors")) == "ReLIC"
    assert baseline_label("sd_chad", SETTINGS) == "SD-Chad (retrained)"
    assert baseline_label("vlad", SETTINGS) == "VLAD"


def test_without_efficientnet_the_error_says_what_to_install(seeds: torch.Tensor) -> None:
    """And names the baseline."""
    with pytest.raises(ConfigError, match=r"'lpips'.*experiments"):
        baseline_scores("lpips", seeds, seeds, TensorBundle({}), SETTINGS, None, 0)


def test_published_lpips_is_the_packages_formula(tmp_path: Path, seeds: torch.Tensor) -> None:
    """Random weights under the published names; the distance recomputed as LPIPS is defined. The
    published weights themselves can't be had here."""
    from torchvision.models import alexnet

    torch.manual_seed(0)
    network = alexnet(weights=None).features
    saved = {f"features.{key}": value for key, value in network.state_dict().items()}
    widths = (64, 192, 384, 256, 256)
    saved |= {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(widths)}
    path = tmp_path / "lpips.safetensors"
    TensorBundle(saved).save(path)
    metric = published_lpips(path)
    distances = metric.distances(seeds[:3], seeds[:2])
    assert torch.allclose(distances.diagonal(), torch.zeros(2), atol=1e-5)
    maps = metric._stages(seeds[:3])
    expected = 0.0
    for stage, weight in zip(maps, metric.weights, strict=True):
        unit = functional.normalize(stage, dim=1)
        difference = (unit[2] - unit[0]).square()
        expected += float((weight[:, None, None] * difference).sum(dim=0).mean())
    assert float(distances[2, 0]) == pytest.approx(expected, rel=1e-3)


def test_published_relic_and_tanet_load_by_name(tmp_path: Path, seeds: torch.Tensor) -> None:
    """Files with the published layout (random weights: the real ones can't be had here) give the
    scores of the networks they were saved from; another file is refused."""
    torch.manual_seed(0)
    trunks = [mobilenet_features(), mobilenet_features()]
    head = RelationHead(49)
    relic = dict(head.state_dict())
    for name, trunk in zip(("base_model", "sa_model"), trunks, strict=True):
        relic |= {f"base_model.{name}.0.{k}": v for k, v in trunk.state_dict().items()}
    assert relic["head.2.weight"].shape == (10, 3681)
    assert "base_model.sa_model.0.1.conv.7.running_var" in relic
    TensorBundle(relic).save(tmp_path / "relic.safetensors")
    grades = published_relic(tmp_path / "relic.safetensors").score(seeds[:2], seeds)
    assert grades.shape == (2,)
    with torch.inference_mode():
        pixels = imagenet_pixels(seeds[:2])
        expected = head.eval()(trunks[0](pixels), trunks[1](pixels))
    assert torch.allclose(grades, expected, atol=1e-4)

    from torchvision.models import resnet18

    scenes = resnet18(weights=None, num_classes=365)
    tanet = {f"mobileNet.base_model.0.{k}": v for k, v in trunks[0].state_dict().items()}
    tanet |= {f"res365_last.{k}": v for k, v in scenes.state_dict().items()}
    tanet |= ThemeHeads().state_dict()
    TensorBundle(tanet).save(tmp_path / "tanet.safetensors")
    both = published_tanet(tmp_path / "tanet.safetensors").score(seeds[:2], seeds)
    alone = published_tanet(tmp_path / "tanet.safetensors").score(seeds[:1], seeds)
    assert torch.allclose(both[:1], alone, atol=1e-4)
    with pytest.raises(ModelError, match=r"tanet\.safetensors.*fit"):
        published_relic(tmp_path / "tanet.safetensors")
