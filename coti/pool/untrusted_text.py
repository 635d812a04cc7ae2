"""Text and numbers of unknown origin, made into what can be stored, shown and compared."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from typing import Any

from coti.core.shown_names import CONTROL
from coti.core.surrogates import valid_text
from coti.core.text_files import decode_text

__all__ = ["as_number", "as_text", "clean_caption", "leaves", "scalars"]


def as_text(value: Any) -> str:
    """A cell as text; of a list the first that is some, empty for null, NaN and what is none."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += reversed(one)
        elif text := _one_text(one):
            return text
    return ""


def _one_text(value: Any) -> str:
    if isinstance(value, str):
        return valid_text(value)
    if isinstance(value, bytes):
        return decode_text(value).text
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))  # a column of numbers with gaps comes as floats
        return "" if math.isnan(value) else str(value)
    return str(value) if isinstance(value, int) else ""


def leaves(value: Any, between: str = "") -> Iterator[str]:
    """Every text in a cell, as :func:`scalars` has them.

    >>> list(leaves({"noai": True, "robots": ["noindex"], "other": False}))
    ['noai', 'True', 'robots', 'noindex']
    """
    return filter(None, (_one_text(one).strip() for one in scalars(value, between)))


def scalars(value: Any, between: str = "") -> Iterator[Any]:
    """Every value in a cell, however nested; of a mapping the names of what is true, too, and, if
    there is something to put ``between``, each name with its value as one text.

    >>> list(scalars([1, {"train-ai": "n", "ai": False}], "="))
    [1, 'train-ai=n', 'ai=False', 'train-ai', 'n']
    """
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for name, said in one.items() if between else ():
                for each in said if isinstance(said, list) else [said]:
                    if text := _one_text(each).strip():
                        yield f"{name}{between}{text}"
            parts = [part for name, said in one.items() if said for part in (name, said)]
            waiting += reversed(parts)
        elif isinstance(one, list):
            waiting += reversed(one)
        else:
            yield one


def as_number(value: Any) -> float | None:
    """A cell as a finite number, or None."""
    if isinstance(value, str | int | float):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None
    return None


def clean_caption(text: str, longest: int) -> tuple[str, int]:
    """The caption as we keep it, and its length in characters as it came.

    Composed Unicode (NFC), one line, without control and direction characters or lone
    surrogates, cut at ``longest`` characters.
    """
    length = len(text)
    text = valid_text(text[: 4 * longest])
    text = unicodedata.normalize("NFC", CONTROL.sub(" ", text))
    return " ".join(text.split())[:longest].rstrip(), length
