"""Halves of characters: JSON and YAML may write one as two escapes, and no file takes a half."""

from __future__ import annotations

import re

__all__ = ["HALF", "valid_text", "with_pairs_joined"]

HALF = re.compile("[\ud800-\udfff]")
"""A surrogate."""
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def with_pairs_joined(text: str) -> str:
    r"""The text with each pair of surrogates as the character that it stands for.

    As JSON reads ``\ud83e\udd8a``; YAML's reader leaves the two.

    >>> with_pairs_joined("\ud83e\udd8a") == "🦊"
    True
    """
    return _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def valid_text(text: str) -> str:
    """The text without surrogates, which no file takes: of a pair its character, else U+FFFD.

    >>> valid_text("a\\ud800b")
    'a\\ufffdb'
    """
    return HALF.sub("\ufffd", with_pairs_joined(text))
