"""Decisions of several people: nothing is lost, the last word holds, what is damaged is said."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError, StoreError
from coti.selection.decisions import (
    KINDS,
    Decision,
    ReviewWriter,
    last_word,
    read_decisions,
    read_review,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
IMAGES = tuple(letter * 64 for letter in "abc")
SAID = ("keep", "drop", "undecided", "rating 7", "rating 0", "rating ", "caption x", "caption ")
words = st.tuples(
    st.integers(0, 2),  # who
    st.sampled_from(IMAGES),
    st.sampled_from(SAID),
    st.integers(0, 3),  # seconds since the one before, by a clock that may stand still
)


@given(st.lists(words, max_size=25))
def test_the_union_of_all_writers_has_the_last_word(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[int, str, str, int]]
) -> None:
    """Every decision is read again, whoever wrote it; of each image and kind the last one made
    holds, in whatever order the files are read."""
    folder = tmp_path_factory.mktemp("set") / "review"
    clock = itertools.accumulate((each[3] for each in said), initial=0)
    now = NOON
    writers = [ReviewWriter(folder, f"p{number}", lambda: now) for number in range(3)]
    made: list[Decision] = []
    wanted: dict[tuple[str, str], str] = {}
    for (who, image, words, _), seconds in zip(said, list(clock)[1:], strict=True):
        now = NOON + timedelta(seconds=seconds)
        what, _, value = words.partition(" ")
        after = made[-1].when if made else None
        made.append(writers[who].decide(image, what, value, after))
        wanted[image, KINDS[what]] = value or ("" if KINDS[what] != "verdict" else what)
    assert read_decisions(folder) == sorted(made) == made
    review = last_word(reversed(made))
    found: dict[tuple[str, str], str] = {}
    for kind, values in (
        ("verdict", review.verdicts),
        ("rating", review.ratings),
        ("caption", review.captions),
    ):
        said_of: dict[str, Any] = dict(values)
        found |= {
            (image, kind): f"{value:g}" if kind == "rating" else value
            for image, value in said_of.items()
        }
    assert found == {k: v for k, v in wanted.items() if v and v != "undecided"}


def test_people_at_once_lose_nothing(tmp_path: Path) -> None:
    """Three sittings, two of one person, each of two threads."""
    writers = [ReviewWriter(tmp_path, who) for who in ("ann", "bob", "ann")]

    def many(writer: ReviewWriter, first: int) -> None:
        for number in range(first, first + 8):
            writer.decide(f"{number:064x}", "keep")

    threads = [
        threading.Thread(target=many, args=(writer, 100 * place + 50 * half))
        for place, writer in enumerate(writers)
        for half in range(2)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(list(tmp_path.iterdir())) == 3
    assert len(read_review(tmp_path).verdicts) == 48


def test_two_at_one_moment_have_one_order(tmp_path: Path) -> None:
    """The same for everybody who reads."""
    for who, what in (("bob", "keep"), ("ann", "drop")):
        ReviewWriter(tmp_path, who, lambda: NOON).decide(IMAGES[0], what)
    assert read_review(tmp_path).verdicts == {IMAGES[0]: "keep"}


def test_what_holds_has_a_hash_whoever_said_it(tmp_path: Path) -> None:
    """Another history with the same end is no other review; another word is."""
    one, other = ReviewWriter(tmp_path / "one", "ann"), ReviewWriter(tmp_path / "two", "bob")
    one.decide(IMAGES[0], "keep")
    one.decide(IMAGES[0], "drop")
    other.decide(IMAGES[0], "drop")
    prints = [read_review(tmp_path / name).fingerprint() for name in ("one", "two")]
    assert prints[0] == prints[1]
    other.decide(IMAGES[1], "rating", "3")
    assert read_review(tmp_path / "two").fingerprint() != prints[0]


@pytest.mark.parametrize(
    ("image", "what", "value", "says"),
    [
        ("../x", "keep", "", "no sha256"),
        (IMAGES[0], "kept", "", "none of keep, drop"),
        (IMAGES[0], "rating", "11", "no rating from 0 to 10"),
        (IMAGES[0], "rating", "nan", "no rating"),
        (IMAGES[0], "keep", "x", "of a verdict"),
        (IMAGES[0], "caption", "x" * 10_001, "more than 10000 characters"),
    ],
)
def test_what_is_no_decision_is_refused(
    tmp_path: Path, image: str, what: str, value: str, says: str
) -> None:
    """And nothing is written."""
    with pytest.raises(ConfigError, match=says):
        ReviewWriter(tmp_path / "review", "ann").decide(image, what, value)
    assert not (tmp_path / "review").exists()


def cells(**columns: Any) -> pa.Table:
    """A sound row, with other or more columns."""
    sound = {
        "image": [IMAGES[0]],
        "who": ["ann"],
        "when": pa.array([NOON], pa.timestamp("us", tz="UTC")),
        "what": ["keep"],
        "value": [""],
    }
    return pa.table({**sound, **columns})


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (cells(more=["x"]), "its columns are image, who, when, what, value, more in place of"),
        (cells(when=["noon"]), "its columns are of the types"),
        (cells(what=["delete"]), "what 'delete' is none of"),
        (cells(who=pa.array([None], pa.string())), "a cell is empty"),
        (None, "no file of decisions"),
        ("link", "no file of decisions"),
        ("folder", "no file of decisions"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, table: Any, says: str
) -> None:
    """It is named, and what to do; the others' files are not passed over in silence."""
    ReviewWriter(tmp_path, "bob").decide(IMAGES[1], "drop")
    path = tmp_path / "strange.parquet"
    if isinstance(table, pa.Table):
        pq.write_table(table, path)
    elif table == "link":
        outside = tmp_path_factory.mktemp("outside")
        ReviewWriter(outside, "eve").decide(IMAGES[1], "keep")
        path.symlink_to(next(outside.iterdir()))
    elif table == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"PAR1 no")
    with pytest.raises(
        StoreError, match=r"strange\.parquet .*restore it, or move it away"
    ) as found:
        read_decisions(tmp_path)
    assert says in str(found.value)


def test_what_names_no_review_is_one_sentence(tmp_path: Path) -> None:
    """A folder that is not there; one without a decision; a file that is being written."""
    with pytest.raises(ConfigError, match=r"selection.review: .*nothing is no folder"):
        read_review(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="holds no decision that stands"):
        read_review(tmp_path)
    assert read_decisions(tmp_path / "nothing") == []
    (tmp_path / ".coti-0123456789abcdef.part").write_bytes(b"half")
    ReviewWriter(tmp_path / "review", "ann").decide(IMAGES[0], "keep")
    assert read_review(tmp_path) == read_review(tmp_path / "review")


def test_a_full_or_closed_disk_is_said(tmp_path: Path) -> None:
    """What could not be written was not decided."""
    (tmp_path / "review").write_text("a file")
    writer = ReviewWriter(tmp_path / "review", "ann")
    with pytest.raises(StoreError, match="cannot be written"):
        writer.decide(IMAGES[0], "keep")
    (tmp_path / "review").unlink()
    writer.decide(IMAGES[1], "drop")
    assert [each.image for each in read_decisions(tmp_path / "review")] == [IMAGES[1]]
