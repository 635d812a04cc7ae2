"""What becomes of an image at a selection, and why: for whoever looks at the picks."""

from __future__ import annotations

from collections.abc import Mapping

import torch

__all__ = ["OUTCOMES", "held_back", "outcome"]

OUTCOMES = {
    "picked": "Picked",
    "not_drawn": "Passed, not drawn",
    "held_back": "Did not pass",
}
"""Heading by outcome: it joined X_T; it passed all gates and was not drawn; a gate held it back."""


def held_back(gates: Mapping[str, torch.Tensor], count: int) -> list[str]:
    """What holds each of ``count`` images back, the first of the gates; empty where none does.

    ``gates``: of :meth:`coti.selection.protocol.Strategy.gates`.

    >>> held_back({"dark": torch.tensor([True, False]), "small": torch.tensor([True, False])}, 2)
    ['', 'dark']
    """
    said = [""] * count
    for words, passed in reversed(list(gates.items())):
        said = [known if fine else words for known, fine in zip(said, passed.tolist(), strict=True)]
    return said


def outcome(held: str, picked: bool) -> tuple[str, str]:
    """Which of :data:`OUTCOMES` a candidate has, and the reason, in a few words.

    ``held``: what holds it back, of :func:`held_back`.

    >>> outcome("", True), outcome("", False), outcome("dark", False)
    (('picked', 'picked'), ('not_drawn', 'passed, not drawn'), ('held_back', 'dark'))
    """
    if picked:
        return "picked", "picked"
    return ("held_back", held) if held else ("not_drawn", "passed, not drawn")
