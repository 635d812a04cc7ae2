"""What was read and computed of a pool is kept, and a killed command goes on from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from coti.core.fitting import Fit
from coti.core.tensors import TensorBundle
from coti.loop.inputs import Encoders
from coti.pool.concept_data import accepted_pool, judged_pool
from coti.pool.entry import Entry
from coti.pool.kept_pool import ingested
from coti.pool.sources.folder import FolderSource
from coti.settings import PoolSettings
from tests.coti.encoders.test_feature_shards import PixelEncoder

RULES = PoolSettings(workers=1, read_threads=2, near_duplicate_bits=-1, feature_shard=2)


class Counting(PixelEncoder):
    """Counts the images that it is given, and may be killed at one."""

    name = "pixels"

    def __init__(self, seed: int = 0, most: int = 1_000) -> None:
        super().__init__(seed)
        self.seen, self._most = 0, most

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """As the other one."""
        if self.seen + len(images) > self._most:
            raise KeyboardInterrupt
        self.seen += len(images)
        return super().encode_images(images)


@pytest.fixture
def pool(pool_of: Callable[..., Path]) -> str:
    """Five images and a file that is none."""
    return str(pool_of({**{f"{n}.png": n for n in range(5)}, "bad.png": b"no"}))


def features(pool: str, encoder: Counting, keep: Path | None, **rules: int) -> torch.Tensor:
    """Of the pool's images, in its order."""
    own = replace(RULES, **rules)
    return judged_pool(pool, Encoders(encoder), own, 4, Fit(), keep).accepted.features["pool"]


@pytest.mark.slow
def test_a_killed_command_goes_on_behind_its_finished_shards(
    pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images are read once and looked at once; what is kept is what would be computed. A damaged
    shard is computed again, another encoder and another pool have nothing kept."""
    whole = features(pool, Counting(), None)
    keep = tmp_path / "keep"
    with pytest.raises(KeyboardInterrupt):
        features(pool, Counting(most=4), keep)  # one of noise, a shard of two, a half
    resumed = Counting()

    def read_again(self: FolderSource) -> list[Entry]:
        raise AssertionError("the pool was read before")

    with monkeypatch.context() as read:
        read.setattr(FolderSource, "entries", read_again)
        assert torch.equal(features(pool, resumed, keep), whole)
        assert resumed.seen == 1 + 3
        again = Counting()
        assert torch.equal(features(pool, again, keep), whole)
        assert again.seen == 1
        one, other, *_ = sorted(keep.rglob("features-*"))
        one.write_bytes(one.read_bytes()[:-9])
        TensorBundle({"pool": torch.zeros(1, 12)}).save(other)
        assert torch.equal(features(pool, again, keep), whole)
        other_encoder = Counting(seed=1)
        assert not torch.equal(features(pool, other_encoder, keep), whole)
        assert other_encoder.seen == 1 + 5
    (Path(pool) / "4.png").write_bytes((Path(pool) / "3.png").read_bytes())
    assert len(features(pool, Counting(), keep)) == 4  # a duplicate now


def test_shards_change_no_feature(pool: str) -> None:
    """Nor does where the images are: in their file, or in memory."""
    encoders = Encoders(Counting())
    parts = judged_pool(pool, encoders, RULES, 4, Fit())
    whole = accepted_pool(pool, encoders, replace(RULES, feature_shard=100), 4, Fit())
    torch.testing.assert_close(parts.accepted.features["pool"], whole.features["pool"])
    assert parts.accepted.images.names == whole.images.names
    for names in (whole.images.names, whole.images.names[:2]):
        assert torch.equal(parts.accepted.images.tensor(names), whole.images.tensor(names))
    assert len(parts.manifest) == 6


class Flaky(FolderSource):
    """A folder of which an image cannot be read at times."""

    away = True

    def entries(self) -> Iterator[Entry]:
        """All of it, one image of them out of reach."""
        for entry in super().entries():
            if entry.name == "3.png" and self.away:
                yield replace(entry, read=None, reason="unreadable")
            else:
                yield entry


def test_what_failed_in_passing_is_asked_for_again(pool: str, tmp_path: Path) -> None:
    """And kept once nothing did; what will never be an image keeps nobody from it."""
    source, keep = Flaky(Path(pool), RULES), tmp_path / "keep"
    first, _ = ingested(source, RULES, 4, Fit(), keep)
    assert sorted(first.manifest["reason"]) == ["", "", "", "", "not_an_image", "unreadable"]
    source.away = False
    second, _ = ingested(source, RULES, 4, Fit(), keep)
    assert sorted(second.manifest["reason"]) == ["", "", "", "", "", "not_an_image"]
    source.away = True
    kept, _ = ingested(source, RULES, 4, Fit(), keep)
    assert list(kept.manifest["reason"]) == list(second.manifest["reason"])
