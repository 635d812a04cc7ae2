"""A file's name finds its image however strange it is."""

from __future__ import annotations

from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.shown_names import by_file_name, escaped, printable
from coti.metrics.ground_truth import read_ground_truth
from coti.scores.aesthetic import load_user_ratings

NAMES = st.lists(
    st.text(st.sampled_from("ab\\x01n\u202e\x7f."), min_size=1, max_size=6).map("i".__add__),
    min_size=1,
    max_size=6,
    unique=True,
)


@given(names=NAMES)
def test_no_two_names_are_shown_alike(names: list[str]) -> None:
    """And all of them can be shown, and are found by what they are called."""
    shown = {escaped(name): name for name in names}
    assert len(shown) == len(names)
    assert all(printable(name) == name for name in shown)
    assert [by_file_name(shown, name) for name in names] == names


@settings(max_examples=30)
@given(names=NAMES)
def test_tables_of_a_users_name_files_as_they_are_called(
    tmp_path_factory: object, names: list[str]
) -> None:
    """Ground truth and ratings find every image of a pool, backslashes or not."""
    folder: Path = tmp_path_factory.mktemp("tables")  # type: ignore[attr-defined]
    names = [name for name in names if name.isprintable()]
    lines = [f"{name},{'boot' if row % 2 else 'coat'},,{row}" for row, name in enumerate(names)]
    table = folder / "both.csv"
    table.write_text("\n".join(["file_name,class,degradation,rating", *lines]))
    truth = read_ground_truth(table, "boot")
    assert [truth[escaped(name)] for name in names] == [bool(n % 2) for n in range(len(names))]
    if names:
        features = {escaped(name): torch.tensor([1.0, row]) for row, name in enumerate(names)}
        rated = load_user_ratings(table, features)
        assert rated.ratings.tolist() == list(range(len(names)))
