"""What owners ask of machines, in every spelling: headers, a table's columns, an image's metadata.

Which requests are honoured is ``pool_rules.fetch.opt_out``; how they are read is decided here
alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from coti.pool.untrusted_text import as_number, leaves, printable

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

    from coti.settings import FetchSettings

__all__ = [
    "REFUSAL_COLUMNS",
    "refusal_in_columns",
    "refusal_in_headers",
    "refusal_in_image",
    "refusals_of_row",
    "robots_directive",
]

REFUSAL_COLUMNS = (
    *("opt_out", "optout", "opted_out", "noai", "no_ai", "noimageai"),
    *("x_robots_tag", "robots", "tdm_reservation", "tdm", "content_usage"),
)
"""Columns of tables by which owners refuse; unlike other columns each of them counts."""

_YES = {"true", "yes", "y", "t", "on", "opt-out", "optout", "opted-out", "reserved"}
_WITH_VALUE = ("max-snippet", "max-image-preview", "max-video-preview")
_UNAVAILABLE = re.compile(r"unavailable_after:\s*(.+)", re.IGNORECASE)
_USAGES = ("train-ai", "train-genai", "genai", "ai", "bots")
_IN_IMAGE = (
    # PLUS, in IPTC's photo metadata: all of its prohibitions hold for training
    (b"DMI-PROHIBITED", re.compile(rb"DMI-PROHIBITED[A-Z-]*"), "data-mining"),
    (
        b"tdm:reservation",
        re.compile(rb"tdm:reservation\s*(?:=\s*[\"']|>)\s*1\b"),
        "tdm-reservation",
    ),
)


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
        meant = True
        for part in re.split("[,;]", value.lower()):
            name, colon, rest = part.partition(":")
            if colon and name.strip() not in (*_WITH_VALUE, "unavailable_after"):
                meant, part = name.strip() in ("*", ours), rest
            words = part.split()
            if words and words[0] == "unavailable_after:" and not _past(value):
                continue
            found = [word.rstrip(":") for word in words if word.rstrip(":") in refused]
            if meant and found and not words[0].startswith(_WITH_VALUE):
                return found[0]
    return ""


def _past(header: str) -> bool:
    """Whether a header's ``unavailable_after`` lies behind us; no if its date cannot be read."""
    found = _UNAVAILABLE.search(header)
    text = found.group(1).strip() if found else ""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        for date in (text, text.split(",")[0], " ".join(text.split()[:1])):
            try:
                when = read(date)
            except (TypeError, ValueError, IndexError):
                continue
            return (when if when.tzinfo else when.replace(tzinfo=UTC)) < datetime.now(UTC)
    return False


def _tdm(values: Iterable[str], settings: FetchSettings) -> str:
    """``1`` where the rights of text and data mining are reserved (W3C's TDMRep)."""
    if "tdm-reservation" not in _refused(settings):
        return ""
    return "1" if any(_says_yes(value) for value in values) else ""


def _usage(values: Iterable[str], settings: FetchSettings) -> str:
    """The preference against training in ``Content-Usage`` headers (IETF AIPREF), if any."""
    if "train-ai" not in _refused(settings):
        return ""
    for value in values:
        for part in value.lower().split(","):
            name, _, said = part.partition("=")
            if name.strip() in _USAGES and said.partition(";")[0].strip() in ("n", "no", "?0"):
                return part.strip()[:40]
    return ""


def refusals_of_row(values: Mapping[str, Any]) -> str:
    """What a row says in :data:`REFUSAL_COLUMNS`, ``name: value; …`` as the manifest has it."""
    said = {
        name: printable(", ".join(dict.fromkeys(leaves(values.get(name)))))[:2_000]
        for name in REFUSAL_COLUMNS
        if name in values
    }
    return "; ".join(f"{name}: {text}" for name, text in said.items() if text.strip())


def refusal_in_columns(said: str, settings: FetchSettings) -> bool:
    """Whether what :func:`refusals_of_row` made of a row forbids its use."""
    for part in said.split("; "):
        name, colon, value = part.partition(": ")
        if name not in REFUSAL_COLUMNS or not colon:
            name, value = "", part
        if name in ("x_robots_tag", "robots"):
            refused = bool(robots_directive([value], settings))
        elif name in ("tdm_reservation", "tdm"):
            refused = bool(_tdm([value], settings))
        elif name == "content_usage":
            refused = bool(_usage([value], settings))
        else:
            words = re.split(r"[\s,;:]+", value.lower())
            refused = any(map(_says_yes, words)) or not _refused(settings).isdisjoint(words)
        if refused:
            return True
    return False


def refusal_in_image(data: bytes, settings: FetchSettings) -> str:
    """The request in an image's own metadata (XMP) that forbids its use, or an empty string."""
    for mark, pattern, name in _IN_IMAGE:
        # The plain search costs nothing, the pattern would cost as much as decoding.
        if mark in data and name in _refused(settings) and (found := pattern.search(data)):
            return found.group().decode("ascii", errors="replace")[:80]
    return ""


def _says_yes(value: str) -> bool:
    number = as_number(value)
    return value.strip().lower() in _YES if number is None else number != 0


def _refused(settings: FetchSettings) -> set[str]:
    return {name.lower() for name in settings.opt_out}
