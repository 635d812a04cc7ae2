"""A handful of a run's images: of any pool by its own source, of folders as files of their own."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from coti.core.images import image_names
from coti.pool.entry import CountedSource, Entry, PickingSource, PoolSource
from coti.pool.open_source import open_source
from coti.settings import PoolSettings, RunSettings
from ops.rehearsal.counts import Sizes
from ops.stack.artifact_store import share_with_pool
from ops.stack.locations import locate

__all__ = [
    "OUTPUT",
    "HandfulOfPool",
    "count_images",
    "count_inputs",
    "take_handful",
    "with_handful",
]

KIND = f"{__name__}:HandfulOfPool"
OUTPUT = "rehearsal-outputs"
"""Below the checkout that is thrown away, in which the user's `outputs` are a link."""


@dataclass
class _Chosen:
    """Of this process: a source is made from settings, which have no place for these."""

    kind: str = "auto"
    count: int = 0


_CHOSEN = _Chosen()


class HandfulOfPool:
    """Inputs spread over the whole of another source, which lists and reads them itself.

    Where listing is fetching, the first ones.
    """

    def __init__(
        self, source: str, settings: PoolSettings, cache_dir: str | Path | None = None
    ) -> None:
        count = _CHOSEN.count
        own = replace(
            settings, kind=_CHOSEN.kind, fetch=replace(settings.fetch, shard_size=max(1, count))
        )
        self._source = open_source(source, own, cache_dir=cache_dir)
        self._count = count
        self.kind, self.notes = self._source.kind, self._source.notes

    @classmethod
    def claims(cls, source: str) -> bool:
        """Nothing: it is named."""
        return False

    def entries(self) -> Iterator[Entry]:
        """So many inputs."""
        if _fetches(self._source):
            yield from islice(self._source.entries(), self._count)
            return
        every = list(self._source.entries())
        step = max(1, len(every) // max(1, self._count))
        yield from every[::step][: self._count]

    def fingerprint(self) -> str:
        """Of the names that were chosen."""
        names = (
            [str(self._count)]
            if _fetches(self._source)
            else [each.name for each in self.entries()]
        )  # fmt: skip
        return hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()


def take_handful(kind: str, count: int) -> None:
    """Of pools of this ``kind`` (``pool_rules.kind``) so many inputs from now on."""
    _CHOSEN.kind, _CHOSEN.count = kind, count


def with_handful(settings: RunSettings, sizes: Sizes, folder: Path) -> RunSettings:
    """The settings with a handful of pool, references and other images, copied into ``folder``.

    Raises:
        PoolError: a folder is missing or holds nothing.
    """
    take_handful(settings.pool_rules.kind, sizes.inputs)
    references = settings.references
    if references is not None:
        # Of two halves, told apart by the files' content, both shall have some.
        many = sizes.references * (1 if settings.evaluation.references_half == "all" else 4)
        references = _copied(references, many, folder / "references")
    seeds = _copied(settings.seeds, sizes.seeds, folder / "seeds")
    negatives = tuple(
        _copied(each, sizes.references or sizes.inputs, folder / f"negatives{number}")
        for number, each in enumerate(settings.aesthetic.negatives)
    )
    return replace(
        settings,
        pool_rules=replace(
            settings.pool_rules,
            kind=KIND,
            fetch=replace(settings.pool_rules.fetch, cache=str(folder / "fetched")),
        ),
        seeds=seeds,
        references=references,
        output=OUTPUT,
        aesthetic=replace(settings.aesthetic, negatives=negatives),
    )


def count_inputs(source: str, rules: PoolSettings) -> tuple[int, int | None]:
    """How many inputs a pool has, and how many of these have a caption, where listing them does not
    fetch them; nothing is fetched or decoded.

    Raises:
        PoolError: it is none, or cannot be read.
    """
    share_with_pool(source, rules.s3_endpoint)
    found = open_source(locate(source), rules)
    if _fetches(found) and isinstance(found, CountedSource):
        return found.count(), None
    captioned = [bool(each.caption.strip()) for each in found.entries()]
    return len(captioned), sum(captioned)


def count_images(folder: str | None) -> int:
    """How many images a folder of chosen ones has; 0 for none.

    Raises:
        PoolError: there is no such folder, or it holds no image.
    """
    return 0 if folder is None else len(image_names(locate(folder)))


def _fetches(source: PoolSource) -> bool:
    """Whether listing a source fetches what it lists."""
    return isinstance(source, PickingSource)


def _copied(source: str, count: int, target: Path) -> str:
    place = Path(locate(source))
    names = image_names(place)
    step = max(1, len(names) // max(1, count))
    target.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names[::step][:count]):
        shutil.copyfile(place / name, target / f"{number:05d}{Path(name).suffix}")
    return str(target)
