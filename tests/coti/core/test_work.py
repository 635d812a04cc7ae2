"""What is told of work: how much of what, and nothing where nobody listens."""

from __future__ import annotations

import torch

from coti.core.work import Work, heard, told, working
from coti.encoders.image_batches import batches


def test_a_series_is_told_of_from_its_first_item_on() -> None:
    """What makes it has to begin once; nobody listens to what comes before or after."""
    found: list[Work] = []
    assert list(told("x", "ab")) == ["a", "b"]
    with heard(found.append):
        assert list(told("x", "abc")) == ["a", "b", "c"]
        assert list(told("x", "a")) == ["a"]
        assert list(told("x", "")) == []
    with working("y", 4):
        pass
    assert [(work.kind, work.count) for work in found] == [("x", 2)]


def test_a_batch_of_images_is_told_of_once_it_is_done() -> None:
    """What an encoder does with it lies inside."""
    found: list[Work] = []
    order: list[str] = []

    def hear(work: Work) -> None:
        order.append(f"heard {work.count}")
        found.append(work)

    with heard(hear):
        for batch in batches(torch.zeros(5, 3, 2, 2, dtype=torch.uint8), 3, "it"):
            order.append(f"seen {len(batch)}")
    assert order == ["seen 3", "heard 3", "seen 2", "heard 2"]
