"""Tables and bundles that steps hand on, there and back."""

from __future__ import annotations

import pandas as pd
import torch

from coti.inversion.adapters.embedding import Embedding
from coti.loop.training_set import TrainingSet
from ops.stack.loop_inputs import (
    columns_of,
    embedding_bundle,
    embedding_of,
    training_set_of,
    training_table,
)


def test_an_embedding_travels_whole() -> None:
    """Both parts of an SDXL one, its token, its keys and what it says of itself."""
    parts = (torch.rand(2, 4), torch.rand(2, 6))
    one = Embedding("<boot>", parts, {"concept": "boot"}, ("clip_l", "clip_g"))
    again = embedding_of(embedding_bundle(one))
    assert again is not None
    assert (again.token, again.keys, again.metadata) == (one.token, one.keys, one.metadata)
    assert all(torch.equal(a, b) for a, b in zip(again.parts, parts, strict=True))
    assert embedding_of(embedding_bundle(None)) is None


def test_a_training_set_is_its_table() -> None:
    """Seeds first, then what each cycle added, in order."""
    table = pd.DataFrame({"id": ["s"], "origin": "seed", "cycle": 0, "source": "seed.png"})
    table = training_table(training_table(table, ["b", "a"], 1), ["c"], 2)
    found = training_set_of(table)
    assert found == TrainingSet(("s",), ("b", "a", "c"), (1, 1, 2))
    assert found.added_in(1) == ("b", "a")


def test_columns_come_back_in_the_pools_order() -> None:
    """The table is sorted for its reader; strategies work in the pool's order."""
    table = pd.DataFrame({"id": ["b", "a"], "s_int": [2.0, 1.0], "score": [2.0, 1.0]})
    assert columns_of(table, ["a", "b"])["s_int"].tolist() == [1.0, 2.0]
