"""What was chosen of a pool, and of every other input why not: a folder that other tools take.

``manifest.parquet`` has a row an input of the pool, ``set.json`` what they were chosen for and
where they come from, ``images/`` the chosen ones as they were found, a caption beside each as a
text file, ``masks/`` the masks that lay beside them. A run's folder is such a set without the
images: they are read from the pool when they are needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coti.core.errors import ConfigError, StoreError
from coti.core.redaction import redacted
from coti.core.text_files import read_json
from coti.loop.verdict import Verdict
from coti.pool.manifest import COLUMNS, read_manifest, write_manifest
from coti.pool.originals import Original
from coti.settings import PoolSettings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SET_COLUMNS", "ChosenSet", "read_set", "suffix_of_format", "write_set"]

SET_COLUMNS: dict[str, str] = {
    "order": "int64",
    "cycle": "int64",
    "score": "float64",
    "s_aes": "float64",
    "s_con": "float64",
    "why": "string",
    "address": "string",
    "image": "string",
    "mask_image": "string",
}
"""What a set's manifest has beside a pool's: ``order``, 1 for the best and 0 of what was not
chosen; ``cycle`` of a run; what it was ranked by (``score``, and of Eq. 7 and 8, NaN where
unknown); why it was chosen or not; ``address``, a URL, an object or a path as the pool was named,
with ``member`` and ``offset`` for what lies in an archive; and the files of the set, empty where it
has none."""

_FORMAT = 1
_SAID, _TABLE = "set.json", "manifest.parquet"
_SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif"}


@dataclass(frozen=True)
class ChosenSet:
    """A set, with its images or without."""

    concept: str
    pool: str
    """The place of the pool, as it was named; empty of images in memory."""
    kind: str
    """What it was read as."""
    rules: PoolSettings
    strategy: str
    table: pd.DataFrame = field(repr=False)
    """A row an input, the chosen ones first, in their order; :data:`coti.pool.manifest.COLUMNS` and
    :data:`SET_COLUMNS`."""
    verdict: Verdict | None = None
    folder: Path | None = None
    """Where it lies; none of one that was not saved."""

    @property
    def chosen(self) -> pd.DataFrame:
        """The rows of what was chosen, best first."""
        return self.table[self.table["order"] > 0]


def addresses(pool: str, table: pd.DataFrame) -> list[str]:
    """Where each input of a pool is from, for whoever looks for it: ``address`` of a set."""
    found = []
    place = redacted(pool)
    for url, file in zip(table["url"], table["file"], strict=True):
        inside = not place or place.rstrip("/").rpartition("/")[2] == file
        found.append(url or (place if inside else f"{place.rstrip('/')}/{file}"))
    return found


def suffix_of_format(kind: str) -> str:
    """A file's suffix for Pillow's name of its format.

    >>> suffix_of_format("JPEG"), suffix_of_format("WEBP")
    ('.jpg', '.webp')
    """
    return _SUFFIXES.get(kind, f".{kind.lower()}")


def write_set(folder: Path, chosen: ChosenSet, originals: Iterable[Original]) -> None:
    """Write a set into an empty folder; :func:`coti.core.whole_files.whole_folder` makes it whole.

    Args:
        folder: there already.
        chosen: its table is written with the files that it has here.
        originals: the bytes of what was chosen, in any order; none leaves the images in the pool.
    """
    rows = {str(row["source"]): row for row in chosen.chosen.to_dict("records")}
    images, masks = dict[str, str](), dict[str, str]()
    for each in originals:
        row = rows[each.name]
        stem = f"{int(row['order']):04d}"
        images[each.name] = f"images/{stem}{suffix_of_format(str(row['format']))}"
        _write(folder / images[each.name], each.data)
        if row["caption"]:
            _write(folder / f"images/{stem}.txt", str(row["caption"]).encode())
        if each.mask is not None:
            masks[each.name] = f"masks/{stem}{Path(str(row['mask'])).suffix.lower()}"
            _write(folder / masks[each.name], each.mask)
    names = chosen.table["source"]
    table = chosen.table.assign(
        image=[images.get(name, "") for name in names],
        mask_image=[masks.get(name, "") for name in names],
    )
    write_manifest(table[[*COLUMNS, *SET_COLUMNS]], folder / _TABLE)
    said = {
        "format": _FORMAT,
        "concept": chosen.concept,
        "pool": redacted(chosen.pool),
        "kind": chosen.kind,
        "strategy": chosen.strategy,
        "verdict": None if chosen.verdict is None else chosen.verdict.row(),
        "pool_rules": asdict(chosen.rules),
    }
    (folder / _SAID).write_text(json.dumps(said, indent=1, ensure_ascii=False), encoding="utf-8")


def read_set(folder: Path) -> ChosenSet:
    """Read what :func:`write_set` wrote.

    Raises:
        StoreError: there is no set, or it is of a release that this one does not know.
        PoolError: its manifest is none.
    """
    from pydantic import TypeAdapter, ValidationError

    if not (folder / _SAID).is_file():
        raise StoreError(
            f"{folder} holds no set ({_SAID}): give a folder that `coti curate` wrote, or a run's "
            "of this release."
        )
    try:
        said: Any = read_json((folder / _SAID).read_text(encoding="utf-8"))
        if not isinstance(said, Mapping) or said.get("format") != _FORMAT:
            raise ValueError("of another release")
        rules = _trusted(TypeAdapter(PoolSettings).validate_python(said["pool_rules"]))
        verdict = None if said["verdict"] is None else Verdict.of(said["verdict"])
        texts = {name: str(said[name]) for name in ("concept", "pool", "kind", "strategy")}
    except (OSError, ValueError, KeyError, TypeError, ConfigError, ValidationError) as error:
        why = " ".join(str(error).split())[:200]
        raise StoreError(
            f"{folder / _SAID} cannot be read ({why}): curate again, or use the release that wrote "
            "it."
        ) from error
    table = read_manifest(folder / _TABLE, SET_COLUMNS)
    chosen = table[table["order"] > 0]
    if (
        table["source"].duplicated().any()
        or chosen["order"].duplicated().any()
        or (table["order"] < 0).any()
        or (chosen[["width", "height"]] < 1).any(axis=None)
    ):
        raise StoreError(
            f"{folder / _TABLE} contradicts itself (two inputs or two places of one name, or an "
            "image without a size): curate again."
        )
    return ChosenSet(**texts, rules=rules, table=table, verdict=verdict, folder=folder)


def _trusted(rules: PoolSettings) -> PoolSettings:
    """What decides which inputs there are, and nothing that only the user may say.

    A folder that somebody sent runs no code of its own choosing, names no server that is asked with
    the user's keys or from inside, passes over no owner's refusal, and sets no limit.
    """
    kind = "auto" if ":" in rules.kind else rules.kind
    return PoolSettings(kind=kind, animated=rules.animated)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
