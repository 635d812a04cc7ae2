"""Names of files as they are stored, shown and looked up: no control characters, no two alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

__all__ = ["CONTROL", "by_file_name", "escaped", "printable"]

T = TypeVar("T")

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
"""Control and direction characters, but for tabs and line ends."""
_ESCAPED_BYTES = re.compile("[\udc80-\udcff]")
"""How Python has bytes of a file's name that are no text."""
_NOT_SHOWN = re.compile(f"{CONTROL.pattern}|[\t\n]|[\ud800-\udfff]+")


def printable(name: str) -> str:
    """A name as it can be stored and shown: control characters and lone surrogates escaped."""
    text = _ESCAPED_BYTES.sub(lambda m: f"\\x{ord(m.group()) - 0xDC00:02x}", name)
    return _NOT_SHOWN.sub(lambda m: "".join(map(_escape, m.group())), text)


def _escape(character: str) -> str:
    if "\x80" <= character <= "\x9f":
        return f"\\u{ord(character):04x}"  # \x85 is a byte that is no text
    return character.encode("unicode_escape").decode()


def escaped(name: str) -> str:
    r"""A name as :func:`printable` makes it, and no two alike: a backslash of its own is doubled.

    >>> print(escaped("a\x01"), escaped(r"a\x01"))
    a\x01 a\\x01
    """
    return printable(name.replace("\\", "\\\\"))


def by_file_name(values: Mapping[str, T], name: str) -> T | None:
    r"""The value of the image that a user's table names: as its file is called, or as it is shown.

    ``values`` has :func:`escaped` names. None where there is no such image.

    >>> by_file_name({r"a\\b.png": 1}, r"a\b.png"), by_file_name({r"a\\b.png": 1}, r"a\\b.png")
    (1, 1)
    """
    return values.get(escaped(name), values.get(name))
