"""Captions and further values in the files beside an image, and in a table's row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from coti.pool.input_tables import Row, json_row
from coti.pool.reasons import Rejected
from coti.pool.refusals import refusals_of_row
from coti.pool.untrusted_text import as_number, as_text, decode_text, printable

__all__ = ["SIDECARS", "SIDECAR_LIMIT", "caption_of", "from_sidecars", "row_extra"]

SIDECARS = (".txt", ".caption", ".json")
"""Suffixes of files that describe the image of the same name; the first with a caption wins."""
SIDECAR_LIMIT = 4_000_000
"""Bytes; a larger caption file is none."""

_TRANSLATION = re.compile(r"^([a-z]{2,3}(?:_[A-Z]{2})?(?:@\w+)?)(?:\.utf-?8)?=(.*)$", re.I)


def from_sidecars(
    files: Iterable[tuple[str, Callable[[], bytes]]], language: str
) -> tuple[str, dict[str, Any]]:
    """Caption and further values of the files beside an image, ``(suffix, read)`` each.

    Text wins over JSON; what cannot be read is passed over.
    """
    caption, extra = "", {}
    for suffix, read in sorted(files, key=lambda file: SIDECARS.index(file[0])):
        try:
            data = read()
        except Rejected:
            continue
        if suffix == ".json":
            row = json_row(0, decode_text(data, [], ""))
            extra = row_extra(row)
            caption = caption or as_text(row.values.get("caption"))
        else:
            caption = caption or caption_of(data, language)
    return caption, extra


def caption_of(data: bytes, language: str = "") -> str:
    """The caption in a text file.

    ``xx.utf8=…`` lines are translations (Tux Paint's stamps): the one of ``language`` is taken
    where there is one, else the lines that are none.
    """
    own: list[str] = []
    for line in decode_text(data, [], "").splitlines():
        translated = _TRANSLATION.match(line)
        if translated is None:
            own.append(line)
        elif language and translated.group(1).lower() == language.lower():
            return translated.group(2)
    return " ".join(own)


def row_extra(row: Row) -> dict[str, Any]:
    """What a table says of an image beside its caption, in our columns."""
    values = row.values
    extra: dict[str, Any] = {
        name: as_number(values.get(name))
        for name in ("similarity", "punsafe", "pwatermark", "aesthetic")
    }
    for name in ("url", "license", "nsfw"):
        extra[name] = printable(as_text(values.get(name)))[:2_000] or None
    extra["opt_out"] = refusals_of_row(values) or None
    return {name: value for name, value in extra.items() if value is not None}
