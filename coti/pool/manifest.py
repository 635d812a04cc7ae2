"""The manifest: a row for every input, accepted or not, and the algebra of such tables."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from coti.core.errors import PoolError
from coti.core.whole_files import whole_file
from coti.pool.decode.quality import SCORES
from coti.pool.reasons import REASONS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.parquet as pq

__all__ = [
    "COLUMNS",
    "SINCE",
    "PoolDiff",
    "check_sums",
    "counts",
    "diff",
    "manifest_hash",
    "read_manifest",
    "recaptioned",
    "to_frame",
    "write_manifest",
]

COLUMNS: dict[str, str] = {
    "id": "string",
    "source": "string",
    "caption": "string",
    "caption_length": "int64",
    "sha256": "string",
    "bytes": "int64",
    "width": "int64",
    "height": "int64",
    "format": "string",
    "mode": "string",
    "status": "string",
    "reason": "string",
    "expectation": "string",
    "detail": "string",
    "phash": "string",
    "thumbnail": "string",
    "group": "string",
    "duplicate_of": "string",
    "quality": "string",
    **dict.fromkeys(SCORES, "float64"),
    "url": "string",
    "license": "string",
    "opt_out": "string",
    "nsfw": "string",
    "similarity": "float64",
    "punsafe": "float64",
    "pwatermark": "float64",
    "aesthetic": "float64",
    "file": "string",
    "member": "string",
    "offset": "int64",
    "mask": "string",
}
"""Columns in order, with their types; text is empty, numbers are 0 or NaN, where unknown."""

SINCE: dict[str, Any] = {"nsfw": "", "file": "", "member": "", "offset": 0, "mask": ""}
"""Columns that were not always there, and what an older manifest is taken to say."""
_UNPACKED = (64_000_000, 100)
"""Bytes that a file may unpack to: so many, and so many times its own size more."""

ACCEPTED, QUARANTINED = "accepted", "quarantined"


def to_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a manifest with all of :data:`COLUMNS` and no other."""
    import pandas as pd

    empty: dict[str, Any] = {"string": "", "int64": 0, "float64": float("nan")}
    data = {
        name: pd.Series([_or(row.get(name), empty[kind]) for row in rows], dtype=_dtype(kind))
        for name, kind in COLUMNS.items()
    }
    return pd.DataFrame(data)


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _dtype(kind: str) -> Any:
    return "str" if kind == "string" else kind


def counts(manifest: pd.DataFrame) -> dict[str, int]:
    """``accepted``, ``quarantined`` and the number of rows for each reason, most frequent first."""
    found = {ACCEPTED: int((manifest["status"] == ACCEPTED).sum())}
    found[QUARANTINED] = int((manifest["status"] == QUARANTINED).sum())
    reasons = manifest.loc[manifest["status"] == QUARANTINED, "reason"].value_counts()
    for reason, number in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        found[str(reason)] = int(number)
    return found


def check_sums(manifest: pd.DataFrame, inputs: int) -> None:
    """Every input is accepted or quarantined, with exactly one reason if so, and none is lost."""
    number = counts(manifest)
    if number[ACCEPTED] + number[QUARANTINED] != inputs or len(manifest) != inputs:
        raise PoolError(
            f"{inputs} inputs, but {number[ACCEPTED]} accepted and {number[QUARANTINED]} "
            "quarantined rows: rows were lost; please report this with the pool's manifest."
        )
    reasons = manifest["reason"]
    quarantined = manifest["status"] == QUARANTINED
    if not reasons[quarantined].isin(list(REASONS)).all() or (reasons[~quarantined] != "").any():
        raise PoolError(
            "A row's reason does not fit its status: please report this with the pool's manifest."
        )
    if manifest["id"].duplicated().any():
        raise PoolError("Two rows have the same id: please report this with the pool's manifest.")


def manifest_hash(manifest: pd.DataFrame) -> str:
    """The version of a pool: a hash of what its rows say, the same on every machine."""
    digest = hashlib.sha256()
    columns = ["id", "source", "caption", "sha256", "width", "height", "status", "reason"]
    for row in zip(*(manifest[name].tolist() for name in columns), strict=True):
        digest.update(json.dumps(row, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()


def recaptioned(manifest: pd.DataFrame, captions: Mapping[str, str]) -> pd.DataFrame:
    """With other captions of some images, by their ids."""
    if not captions:
        return manifest
    new = manifest["id"].map(dict(captions))
    caption = new.where(new.notna(), manifest["caption"]).astype(manifest["caption"].dtype)
    length = manifest["caption_length"].where(new.isna(), caption.str.len())
    return manifest.assign(caption=caption, caption_length=length.astype("int64"))


def write_manifest(manifest: pd.DataFrame, path: str | Path) -> None:
    """Write as Parquet, whole or not at all."""
    with whole_file(Path(path)) as part:
        manifest.to_parquet(part, index=False)


def read_manifest(path: str | Path, more: Mapping[str, str] = MappingProxyType({})) -> pd.DataFrame:
    """Read what :func:`write_manifest` wrote, or a folder that holds ``manifest.parquet``.

    ``more``: columns with their types that it must have beside its own; others are left out.

    Columns and types are looked at before anything is read, rows and bytes are bounded by the
    file's size, and what else the file says of itself is left alone. It is parsed in this process:
    whoever gives a manifest is trusted more than a pool.

    Raises:
        PoolError: it is none, or claims more than a manifest of its size can hold.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    path = path / "manifest.parquet" if path.is_dir() else path
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            wanted = {**COLUMNS, **more}
            columns = _known_columns(file, os.fstat(stream.fileno()).st_size, wanted)
            table = file.read(columns).replace_schema_metadata(None)
        table.validate(full=True)  # text that is no UTF-8
        manifest: pd.DataFrame = table.to_pandas()
    except (OSError, pa.ArrowException, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise PoolError(
            f"{str(path)!r} is not a manifest ({said}): `coti pool check PATH --output DIR` "
            "writes one."
        ) from error
    return manifest.assign(
        **{name: value for name, value in SINCE.items() if name not in manifest.columns}
    )


def _known_columns(file: pq.ParquetFile, size: int, wanted: Mapping[str, str]) -> list[str]:
    """Those of ``wanted`` that a file has, all but those which were not always there.

    Raises ValueError where the file's own description is none of a manifest's.
    """
    import pyarrow as pa

    kinds = {
        "string": (pa.string(), pa.large_string()),
        "int64": (pa.int64(),),
        "float64": (pa.float64(),),
    }
    schema, metadata = file.schema_arrow, file.metadata
    missing = [
        name
        for name in wanted
        if schema.names.count(name) != 1 and (name not in SINCE or name in schema.names)
    ]
    if missing:
        raise ValueError(f"it lacks the columns {', '.join(missing)}")
    columns = [name for name in wanted if name in schema.names]
    for name in columns:
        found = schema.field(name).type
        if found not in kinds[wanted[name]]:
            raise ValueError(f"its column {name} is {str(found)[:50]}, not {wanted[name]}")
    if metadata.num_rows > size:
        raise ValueError(f"it claims {metadata.num_rows} rows in {size} bytes")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    unpacked = sum(group.total_byte_size for group in groups)
    if unpacked > _UNPACKED[0] + _UNPACKED[1] * size:
        raise ValueError(f"it unpacks to {unpacked} bytes from {size}")
    return columns


@dataclass(frozen=True)
class PoolDiff:
    """What changed between two versions of a pool; every field lists source names."""

    added: list[str]
    removed: list[str]
    changed: list[str]
    """The same name with other bytes."""
    recaptioned: list[str]
    """The same name and bytes with another caption."""
    judged: list[tuple[str, str, str]]
    """The same name, bytes and caption with another verdict: name, before, after."""

    @property
    def same(self) -> bool:
        """Whether nothing changed."""
        changes = (self.added, self.removed, self.changed, self.recaptioned, self.judged)
        return not any(changes)


def diff(before: pd.DataFrame, after: pd.DataFrame) -> PoolDiff:
    """Compare two manifests by source name."""
    old: dict[str, Any] = {str(row.source): row for row in before.itertuples(index=False)}
    new: dict[str, Any] = {str(row.source): row for row in after.itertuples(index=False)}
    both = [name for name in old if name in new]
    changed = [name for name in both if old[name].sha256 != new[name].sha256]
    same = [name for name in both if old[name].sha256 == new[name].sha256]
    recaptioned = [name for name in same if old[name].caption != new[name].caption]
    judged = [
        (name, _verdict(old[name]), _verdict(new[name]))
        for name in same
        if old[name].caption == new[name].caption and _verdict(old[name]) != _verdict(new[name])
    ]
    return PoolDiff(
        added=sorted(set(new) - set(old)),
        removed=sorted(set(old) - set(new)),
        changed=sorted(changed),
        recaptioned=sorted(recaptioned),
        judged=sorted(judged),
    )


def _verdict(row: Any) -> str:
    return str(row.reason or row.status)
