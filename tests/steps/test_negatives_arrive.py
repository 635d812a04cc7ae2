"""``aesthetic.negatives`` from folders to θ: the pipeline's step, and the way of the loop."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from coti.core.errors import PoolError
from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.encoders.feature_shards import embed_shard
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.loop.fit_scorers import finetune_aesthetic_scorer
from coti.loop.inputs import Encoders
from coti.loop.state import LoopState
from coti.loop.training_set import TrainingSet
from coti.pool.concept_data import AcceptedPool, Seeds, with_seeds
from coti.settings import AestheticSettings, RunSettings
from steps.gather_features import gather_features

ENCODERS = Encoders(load_image_text_encoder("assets/models/scorer"))


def images(count: int, seed: int) -> torch.Tensor:
    """Random, uint8 [count, 3, 32, 32]."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=draw)


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    """Two folders of three and four images beside the seeds."""
    names = []
    for count in (3, 4):
        folder = tmp_path / str(count)
        folder.mkdir()
        names.append(str(folder))
        for number, image in enumerate(images(count, count)):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    return RunSettings(concept="boot", aesthetic=AestheticSettings(steps=5, negatives=tuple(names)))


SEEDS = ImageSet(["a", "b"], images(2, 0))
POOL = ImageSet(["c"], images(1, 1))
SHARD = embed_shard(ENCODERS.scorer, None, POOL)


def bundle(settings: RunSettings) -> TensorBundle:
    """Features by the way of the loop."""
    pool = AcceptedPool(POOL, {}, {}, SHARD)
    return with_seeds(pool, Seeds(SEEDS, {}), ENCODERS, settings).features


def theta(features: TensorBundle, settings: RunSettings) -> dict[str, torch.Tensor]:
    """The fine-tuned head's tensors."""
    state = LoopState(TrainingSet(tuple(SEEDS.names)))
    return finetune_aesthetic_scorer(state, features, {}, SEEDS, ENCODERS, settings).to_tensors()


def test_the_step_and_the_library_see_the_same(settings: RunSettings) -> None:
    """The same features by name, bit for bit: of each folder all images, in its order."""
    ours = bundle(settings)
    found, _, _ = gather_features.entrypoint(
        shards=[SHARD],
        accepted=pd.DataFrame({"id": ["c"]}),
        quarantined=pd.DataFrame({"id": []}),
        seed_images=SEEDS,
        text="boot",
        settings=settings,
        device="cpu",
        scorer_fingerprint="",
        model_fingerprint="",
        negatives_fingerprint="",
    )
    assert set(found.tensors) == set(ours.tensors)
    assert all(torch.equal(found[name], ours[name]) for name in ours.tensors)
    assert [len(found[f"negatives_{number}"]) for number in (0, 1)] == [3, 4]


def test_they_move_theta_and_without_them_it_is_what_it_was(settings: RunSettings) -> None:
    """The same each time; a run without folders does not even see that there are features."""
    plain = RunSettings(concept="boot", aesthetic=AestheticSettings(steps=5))
    features = bundle(settings)
    one, again, without = (theta(features, each) for each in (settings, settings, plain))
    before = theta(bundle(plain), plain)
    for name in one:
        assert torch.equal(one[name], again[name])
        assert torch.equal(without[name], before[name])
    assert not torch.equal(one["0.weight"], before["0.weight"])
    assert "negatives_0" not in bundle(plain).tensors


def test_a_file_that_is_no_image_is_named(settings: RunSettings) -> None:
    """As among the seeds: the user chose these."""
    folder = Path(settings.aesthetic.negatives[0])
    (folder / "broken.png").write_bytes(b"no image")
    with pytest.raises(PoolError, match=r"broken\.png"):
        bundle(settings)
