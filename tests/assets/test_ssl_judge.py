"""The class-blind judge: how it is trained, and that the bundled one is what its card says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from assets.build import ssl_judge, world
from coti.core.images import read_image_folder
from coti.encoders.timm_encoder import load_timm

ROOT = Path(__file__).resolve().parents[2]


def test_a_views_black_stays_black_and_no_two_are_alike() -> None:
    """What is cropped, turned or dimmed is a view; ground that was black stays it."""
    images = torch.zeros(6, 32, 32, dtype=torch.uint8)
    images[:, 8:24, 8:24] = 200
    first, second = (
        ssl_judge.views(images, torch.Generator().manual_seed(seed)) for seed in (0, 1)
    )
    assert first.shape == (6, ssl_judge.SIDE, ssl_judge.SIDE)
    assert not torch.equal(first, second)
    assert bool((first.flatten(1).min(dim=1).values == 0).all())
    torch.testing.assert_close(ssl_judge.views(images, torch.Generator().manual_seed(0)), first)


def test_the_loss_is_least_where_partners_alone_are_alike() -> None:
    """NT-Xent by hand: of four features on two axes, a partner at 1 and two others at 0."""
    axes = torch.eye(2)
    weight = np.exp(1 / ssl_judge.TEMPERATURE)
    found = ssl_judge.contrastive_loss(axes, axes)
    assert float(found) == pytest.approx(-np.log(weight / (weight + 2)), rel=1e-5)
    assert float(ssl_judge.contrastive_loss(axes, axes.flip(0))) > float(found)


def test_neighbours_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clusters: all right, all wrong with the labels the other way round."""
    monkeypatch.setattr(ssl_judge, "NEIGHBOURS", 3)
    bank = torch.eye(2).repeat_interleave(5, dim=0)
    labels = torch.arange(2).repeat_interleave(5)
    assert ssl_judge.knn_accuracy(bank, labels, bank, labels) == 1.0
    assert ssl_judge.knn_accuracy(bank, labels, bank, 1 - labels) == 0.0
    assert ssl_judge.share_within(bank, labels) == 0.0
    assert ssl_judge.share_within(bank, labels.roll(1)) > 0


def test_an_interrupted_training_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes; and they load as an encoder."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 32, 32), dtype=np.uint8)
    monkeypatch.setattr(world, "load_split", lambda _: (noise, np.zeros(12, np.int64)))
    for name, value in (("BATCH", 4), ("CHECKPOINT_EVERY", 2), ("WARM_UP", 1)):
        monkeypatch.setattr(ssl_judge, name, value)
    ssl_judge.train(tmp_path / "whole", tmp_path / "a", steps=4)
    loss, calls = ssl_judge.contrastive_loss, iter(range(9))

    def interrupted(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return loss(first, second)

    monkeypatch.setattr(ssl_judge, "contrastive_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ssl_judge.train(tmp_path / "resumed", tmp_path / "b", steps=4)
    ssl_judge.train(tmp_path / "resumed", tmp_path / "b", steps=4)
    whole, resumed = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "resumed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert load_timm(str(tmp_path / "whole")).size == 128


def test_the_bundled_one_tells_boots_apart_and_is_small() -> None:
    """128 features that differ from boot to boot, in half precision, under 3 MiB."""
    folder = ROOT / "assets" / "models" / "ssl_judge"
    path = folder / "model.safetensors"
    assert path.stat().st_size < 3 * 2**20
    weights = load_file(path).values()
    assert {value.dtype for value in weights if value.is_floating_point()} == {torch.float16}
    _, boots = read_image_folder(ROOT / "assets/pools/ankle_boot/seeds", 32)
    features = load_timm(str(folder)).encode_images(boots)
    assert features.shape == (len(boots), 128)
    spread = (features - features.mean(dim=0)).norm() / features.norm()
    assert float(spread) > 0.1
