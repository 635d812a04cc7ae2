from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.errors import PoolError
from coti.pool.manifest import (
    COLUMNS,
    SINCE,
    check_sums,
    counts,
    diff,
    manifest_hash,
    read_manifest,
    to_frame,
    write_manifest,
)
from coti.pool.reasons import REASONS

ROW = st.fixed_dictionaries(
    {
        "sha256": st.sampled_from(["aa", "bb", "cc"]),
        "caption": st.sampled_from(["", "boot", "ブーツ", "=cmd()"]),
        "verdict": st.sampled_from(["", *list(REASONS)[:3]]),
    }
)
POOL = st.dictionaries(st.text(min_size=1, max_size=5), ROW, max_size=8)


def manifest(pool: dict[str, dict[str, str]]) -> pd.DataFrame:
    """The manifest of a pool given as name -> row."""
    return to_frame(
        [
            {
                "id": f"{number:04d}",
                "source": name,
                "status": "quarantined" if row["verdict"] else "accepted",
                "reason": row["verdict"],
                **{key: row[key] for key in ("sha256", "caption")},
            }
            for number, (name, row) in enumerate(sorted(pool.items()))
        ]
    )


@settings(deadline=None)
@given(POOL)
def test_accepted_and_quarantined_add_up(pool: dict[str, dict[str, str]]) -> None:
    """For any pool the two states add up to the rows, and the reasons to the quarantined."""
    table = manifest(pool)
    assert list(table.columns) == list(COLUMNS)
    check_sums(table, len(pool))
    number = counts(table)
    assert number["accepted"] + number["quarantined"] == len(pool)
    assert sum(list(number.values())[2:]) == number["quarantined"]


@settings(deadline=None)
@given(POOL, POOL)
def test_differences_account_for_every_name(
    before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]
) -> None:
    """Added and removed are the set differences, swapped when the versions are, and a pool does
    not differ from itself.
    """
    old, new = manifest(before), manifest(after)
    there, back = diff(old, new), diff(new, old)
    assert set(there.added) == set(after) - set(before) == set(back.removed)
    assert set(there.removed) == set(before) - set(after) == set(back.added)
    assert there.changed == back.changed
    assert there.recaptioned == back.recaptioned
    assert {name for name, _, _ in there.judged} == {name for name, _, _ in back.judged}
    assert diff(old, old).same
    touched = {*there.changed, *there.recaptioned, *(name for name, _, _ in there.judged)}
    assert touched == {n for n in before if n in after and before[n] != after[n]}
    assert there.same == (before == after)


@settings(deadline=None)
@given(POOL, POOL)
def test_the_version_is_the_content(
    before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]
) -> None:
    """Two manifests have the same hash exactly if they say the same."""
    assert (manifest_hash(manifest(before)) == manifest_hash(manifest(after))) == (before == after)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reason": "no such code"}, "reason does not fit"),
        ({"reason": ""}, "reason does not fit"),
        ({"status": "lost"}, "rows were lost"),
        ({"id": "0000"}, "same id"),
    ],
)
def test_unsound_manifests_are_refused(change: dict[str, str], said: str) -> None:
    """A row without a state, with an unknown reason, or with another's id stops the run."""
    table = manifest(
        {
            "a": {"sha256": "x", "caption": "", "verdict": ""},
            "b": {"sha256": "y", "caption": "", "verdict": "bad_row"},
        }
    )
    for column, value in change.items():
        table.loc[1, column] = value
    with pytest.raises(PoolError, match=said):
        check_sums(table, 2)


def test_a_lost_row_is_noticed() -> None:
    """Fewer rows than inputs stop the run."""
    with pytest.raises(PoolError, match="3 inputs, but 0 accepted"):
        check_sums(manifest({}), 3)


def test_every_reason_is_documented() -> None:
    """The page on pools lists each code with its meaning."""
    page = (Path(__file__).parents[3] / "docs" / "pools.md").read_text("utf-8")
    for code, meaning in REASONS.items():
        assert f"| `{code}` | {meaning} |" in page, code


def _written(tmp_path: Path, change: Callable[[pa.Table], pa.Table], **how: Any) -> Path:
    """A sound manifest of three rows, changed."""
    path = tmp_path / "manifest.parquet"
    rows = [{"id": str(n), "source": f"鞋{n}", "status": "accepted"} for n in range(3)]
    write_manifest(to_frame(rows), path)
    pq.write_table(change(pq.read_table(path)), path, **how)
    return path


def _column(name: str, values: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.column_names.index(name), name, values)

    return change


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize(
    "values",
    [
        pa.array([["a"], ["b"], []]),
        pa.array([{"a": 1}, {"a": 2}, None]),
        pa.array([Decimal("1.5"), Decimal(2), None]),
        pa.array([b"a", b"b", b"\xff"]),
        pa.array([True, False, None]),
        pa.DictionaryArray.from_arrays(pa.array([0, 0, 0]), ["x"]),
        pa.array([datetime(2020, 1, 1), None, None]),
        pa.nulls(3),
    ],
    ids=lambda values: str(values.type).split("<")[0].split("[")[0],
)
def test_a_column_of_another_type_is_refused(name: str, values: Any, tmp_path: Path) -> None:
    """Not compared as if it were text."""
    path = _written(tmp_path, _column(name, values))
    with pytest.raises(PoolError, match=f"is not a manifest .its column {name} is "):
        read_manifest(path)


@pytest.mark.parametrize("name", [name for name, kind in COLUMNS.items() if kind == "string"])
def test_text_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    """Parquet does not look whether text is UTF-8."""
    binary = pa.array([b"\xff\xfe", b"a", b"b"])
    kind = pa.string()
    bad = pa.Array.from_buffers(kind, 3, binary.buffers())
    with pytest.raises(PoolError, match="is not a manifest"):
        read_manifest(_written(tmp_path, _column(name, bad)))


@pytest.mark.parametrize(
    "said", [b"{", b"5", b'{"columns": 5}', b'{"index_columns": [[]]}', b"\xff"]
)
def test_what_pandas_would_read_beside_the_columns_is_left_alone(
    said: bytes, tmp_path: Path
) -> None:
    """The columns alone make the manifest."""
    sound = read_manifest(_written(tmp_path, lambda table: table))
    path = _written(tmp_path, lambda table: table.replace_schema_metadata({b"pandas": said}))
    pd.testing.assert_frame_equal(read_manifest(path), sound)


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in SINCE])
def test_a_column_that_is_missing_or_twice_is_named(name: str, tmp_path: Path) -> None:
    """The first reader that needs it would not say which file it was."""
    with pytest.raises(PoolError, match=f"lacks the columns {name}"):
        read_manifest(_written(tmp_path, lambda table: table.drop_columns([name])))
    with pytest.raises(PoolError, match=f"lacks the columns {name}"):
        read_manifest(_written(tmp_path, lambda t: t.append_column(name, t.column(name))))


def test_very_many_rows_of_a_few_bytes_are_refused(tmp_path: Path) -> None:
    """Before they are unpacked."""
    path = _written(tmp_path, lambda table: table.take([0] * 300_000))
    with pytest.raises(PoolError, match="it claims 300000 rows in"):
        read_manifest(path)


def test_a_sound_manifest_is_read_as_pandas_reads_it(tmp_path: Path) -> None:
    """In values, types and order."""
    path = _written(tmp_path, lambda table: table)
    pd.testing.assert_frame_equal(read_manifest(path), pd.read_parquet(path))
    old = _written(tmp_path, lambda table: table.drop_columns(list(SINCE)))
    assert all((read_manifest(old)[name] == nothing).all() for name, nothing in SINCE.items())
