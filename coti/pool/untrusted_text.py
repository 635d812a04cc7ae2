"""Text and numbers of unknown origin, made into what can be stored, shown and compared."""

from __future__ import annotations

import math
import re
import sys
import unicodedata
from typing import Any

__all__ = ["as_number", "as_text", "clean_caption", "decode_text", "printable"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def decode_text(data: bytes, notes: list[str], name: str) -> str:
    """Text of a file of unknown encoding: UTF-8, UTF-16 with a mark, else Windows-1252."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        notes.append(f"{name} is not UTF-8; read as Windows-1252")
        return data.decode("cp1252", errors="replace")


def as_text(value: Any) -> str:
    """A cell as text; empty for null, NaN and what is no text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return "" if math.isnan(value) else str(value)
    return ""


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
    text = text[: 4 * longest]
    text = text.encode("utf-8", errors="replace").decode("utf-8")
    text = unicodedata.normalize("NFC", _CONTROL.sub(" ", text))
    return " ".join(text.split())[:longest].rstrip(), length


def printable(name: str) -> str:
    """A name as it can be stored and shown: control characters and lone surrogates escaped."""
    raw = name.encode(sys.getfilesystemencoding(), errors="surrogateescape")
    text = raw.decode("utf-8", errors="backslashreplace")
    return _CONTROL.sub(lambda m: m.group().encode("unicode_escape").decode(), text)
