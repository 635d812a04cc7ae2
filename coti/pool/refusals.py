"""What owners ask of machines, in every spelling: headers, a table's columns, an image's metadata.

Which requests are honoured is ``pool_rules.fetch.opt_out``; how they are read is decided here
alone.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from coti.core.shown_names import printable
from coti.pool.untrusted_text import as_number, leaves

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

    from coti.settings import FetchSettings

__all__ = [
    "REFUSAL_COLUMNS",
    "refusal_in_headers",
    "refusal_in_image",
    "refusal_in_row",
    "robots_directive",
]

REFUSAL_COLUMNS = (
    *("opt_out", "optout", "opted_out", "noai", "no_ai", "noimageai"),
    *("x_robots_tag", "robots", "tdm_reservation", "tdm", "content_usage"),
)
"""Columns of tables by which owners refuse; unlike other columns each of them counts."""

_YES = {"true", "yes", "y", "t", "on", "opt-out", "optout", "opted-out", "reserved"}
_WITH_VALUE = ("max-snippet", "max-image-preview", "max-video-preview")
_ROBOTS_WORD = re.compile(r"([^\s,;:|\"'<>()\[\]{}]+)(\s*:(?!//))?")
"""A directive or, before a colon that is none of a URL, an agent."""
_TIME = re.compile(r"(?:.*[t+.\d-])?\d{1,2}")
"""What stands before a colon in a date."""
_NO = re.compile(r"[\s\"']*(?:false|no|off|0)\b", re.IGNORECASE)
_MOST_DATES = 50
"""Of a text; nobody who writes more means that they are to come."""
_WORDS = re.compile(r"[\s,;:|\"'?()\[\]{}]+")
_NO_TRAINING = re.compile(
    r"(?<![\w-])(?:train-ai|train-genai|genai|ai|bots)[\"']?\s*[=:]\s*[\"']*"
    r"(?:\?0|n|no|false|0)(?![\w.-])",
    re.IGNORECASE,
)
_Pattern = re.Pattern[bytes]
_IN_IMAGE: tuple[tuple[str, tuple[bytes, ...], _Pattern, _Pattern | None], ...] = (
    # PLUS, in IPTC's photo metadata: all of its prohibitions hold for training
    (
        "data-mining",
        (b"ROHIBITED", b"rohibited"),
        re.compile(rb"dmi-prohibited[a-z-]*", re.IGNORECASE),
        None,
    ),
    # an attribute, or an element's text behind other elements
    (
        "tdm-reservation",
        (b"eservation",),
        re.compile(rb"tdm[\w-]{0,20}:reservation", re.IGNORECASE),
        re.compile(
            rb"(?:\s*=\s*[\"']|(?:\s[^<>]{0,300})?>(?:\s|<!\[CDATA\[|<\w[^<>]{0,200}>){0,20})"
            rb"\s*([^\"'<>\]]{1,40})"
        ),
    ),
)
"""What is asked, what stands in any data that asks it, where it stands, and how it goes on."""
_MOST_MARKS = 1_000
"""In an image; it is not read behind so many, and no honest one has them."""


def refusal_in_headers(headers: CIMultiDictProxy[str], settings: FetchSettings) -> str:
    """The header and directive that forbid the use of what came with them, or an empty string."""
    directive = robots_directive(headers.getall("X-Robots-Tag", ()), settings)
    if directive:
        return f"X-Robots-Tag: {directive}"
    for header, said in (
        ("tdm-reservation", _tdm(headers.getall("tdm-reservation", ()), settings)),
        ("Content-Usage", _usage(headers.getall("Content-Usage", ()), settings)),
    ):
        if said:
            return f"{header}: {said}"
    return ""


def robots_directive(values: Iterable[str], settings: FetchSettings) -> str:
    """The directive of ``X-Robots-Tag`` headers that forbids the use, or an empty string.

    A header may name an agent (``googlebot: noindex, noai``); then it counts only where that is
    ours, the first word of the User-Agent, or ``*``. ``none`` is ``noindex, nofollow``, and what is
    unavailable after a date that is past is not to be indexed either.
    """
    ours = re.split(r"[/\s]", settings.user_agent.strip().lower(), maxsplit=1)[0]
    refused = _refused(settings)
    if "noindex" in refused:
        refused |= {"none", "unavailable_after"}
    for value in values:
        meant, before, dates = True, "", 0
        for found in _ROBOTS_WORD.finditer(value.lower()):
            word, colon = found.group(1).strip("."), found.group(2)
            if word == "unavailable_after":
                dates += 1
                past = dates > _MOST_DATES or _past(value[found.end() : found.end() + 80])
                if meant and past and word in refused:
                    return word
            elif word in refused:
                no = colon and _NO.match(value, found.end())
                if meant and not no and not (word == "none" and before in _WITH_VALUE):
                    return word
            elif colon and word not in _WITH_VALUE and not _TIME.fullmatch(word):
                meant = word.partition("/")[0] in ("*", ours, "x-robots-tag", "robots")
            before = word
    return ""


def _past(text: str) -> bool:
    """Whether the date that a text begins with lies behind us; no if it cannot be read."""
    text = text.lstrip(" \t:='\"").upper()
    parts = re.split("[,;|'\"]", text)
    for date in (text, parts[0], ",".join(parts[:2]), " ".join(text.split()[:1])):
        for written in (date, f"{date} 00:00:00"):
            for read in (parsedate_to_datetime, datetime.fromisoformat):
                try:
                    when = read(written)
                    when = when if when.tzinfo else when.replace(tzinfo=UTC)
                    return when < datetime.now(UTC)
                except (TypeError, ValueError, IndexError, OverflowError):
                    continue
    return False


def _tdm(values: Iterable[str], settings: FetchSettings) -> str:
    """What reserves the rights of text and data mining (W3C's TDMRep): ``1``, if anything."""
    if "tdm-reservation" not in _refused(settings):
        return ""
    words = (word for value in values for word in _WORDS.split(value))
    return next(filter(_says_yes, words), "")


def _usage(values: Iterable[str], settings: FetchSettings) -> str:
    """The preference against training in ``Content-Usage`` headers (IETF AIPREF), if any."""
    if "train-ai" not in _refused(settings):
        return ""
    found = next(filter(None, map(_NO_TRAINING.search, values)), None)
    return found.group()[:40] if found else ""


def _opted_out(values: Iterable[str], settings: FetchSettings) -> str:
    """The word that says yes or is a directive, if any."""
    refused = _refused(settings)
    words = (word for value in values for word in _WORDS.split(value))
    return next((word for word in words if _says_yes(word) or word.lower() in refused), "")


_BY_COLUMN: dict[str, tuple[Callable[[Iterable[str], FetchSettings], str], str]] = {
    **dict.fromkeys(("x_robots_tag", "robots"), (robots_directive, ": ")),
    **dict.fromkeys(("tdm_reservation", "tdm"), (_tdm, "")),
    "content_usage": (_usage, "="),
}
"""Who judges the texts of a column, and what stands there between a name and its value."""


def refusal_in_row(values: Mapping[str, Any], settings: FetchSettings) -> str:
    """The column and the text in it that forbid the use of what a row names, or an empty string.

    Each text counts for itself, however deep it lies in a list or a mapping, and as a whole,
    however long it is; only what is shown of it is cut.

    >>> from coti.settings import FetchSettings
    >>> refusal_in_row({"noai": False, "robots 2": ["googlebot: index", "noai"]}, FetchSettings())
    'robots: noai'
    """
    for name, value in values.items():
        column = name.partition(" ")[0]
        if column in REFUSAL_COLUMNS:
            judge, between = _BY_COLUMN.get(column, (_opted_out, ""))
            for text in leaves(value, between):
                if found := judge([text], settings):
                    return printable(f"{column}: {text if len(text) <= 80 else found}")[:200]
    return ""


def refusal_in_image(data: bytes, settings: FetchSettings) -> str:
    """The request in an image's own metadata (XMP) that forbids its use, or an empty string.

    Text is found in UTF-8 and UTF-16: the zeros between the letters are passed over.
    """
    refused = _refused(settings)
    for name, marks, where, value in _IN_IMAGE:
        for width in (1, 2) if name in refused else ():
            # The plain search costs next to nothing, the pattern as much as decoding.
            if not any(_wide(mark, width) in data for mark in marks):
                continue
            for start in range(width):
                text = data[start::width]
                for number, found in enumerate(where.finditer(text)):
                    said = value.match(text, found.end()) if value else None
                    yes = said and _says_yes(html.unescape(said.group(1).decode("latin-1")))
                    if value is None or yes or number >= _MOST_MARKS:
                        end = said.end() if said else found.end()
                        return printable(text[found.start() : end].decode("latin-1"))[:80]
    return ""


@cache
def _wide(mark: bytes, width: int) -> bytes:
    """ASCII in characters of so many bytes, from the first one's byte to the last one's."""
    return (b"\0" * (width - 1)).join(mark[i : i + 1] for i in range(len(mark)))


def _says_yes(value: str) -> bool:
    number = as_number(value)
    return value.strip().lower() in _YES if number is None else number != 0


def _refused(settings: FetchSettings) -> set[str]:
    return {name.lower() for name in settings.opt_out}
