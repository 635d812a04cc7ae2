"""Which files beside an image describe it, and what they and a table's row say of it."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from coti.core.file_rules import SIDECAR_SUFFIXES, kind_of_file, suffix_of
from coti.core.shown_names import printable
from coti.core.text_files import decode_text, read_json
from coti.pool.input_tables import Row, json_row, value_row
from coti.pool.reasons import Rejected
from coti.pool.refusals import refusal_in_row
from coti.pool.table_columns import REFUSING, column_of
from coti.pool.untrusted_text import as_number, as_text, leaves, scalars
from coti.settings import PoolSettings

__all__ = [
    "SIDECAR_LIMIT",
    "Beside",
    "attach",
    "caption_of",
    "is_map",
    "masks_of",
    "merged_extra",
    "read_sidecars",
    "row_extra",
    "sample_key",
]

SIDECAR_LIMIT = 4_000_000
"""Bytes; a larger caption file is none."""

_LONGEST = 2_000
"""Characters of a value in the manifest."""
_MOST_BESIDE = 20
"""Sidecars that may speak for all images of one sample."""
_TRANSLATION = re.compile(r"^([a-z]{2,3}(?:_[A-Z]{2})?(?:@\w+)?)(?:\.utf-?8)?=(.*)$", re.I)
# fmt: off
_MAPS = frozenset((
    "alpha", "canny", "depth", "disparity", "edges", "mask", "masks", "matte", "normals",
    "openpose", "seg", "segmentation", "semantic", "trimap",
))
# fmt: on
_WORD = re.compile(r"[^\W\d]\w*")


@dataclass
class Beside:
    """Sidecars of one image."""

    own: list[str] = field(default_factory=list)
    """Described by name, the most particular first: captions and values come from these."""
    sample: list[str] = field(default_factory=list)
    """Of the same WebDataset sample: what they refuse counts, what they say may be another's."""
    problem: str = ""
    """Why it cannot be said what they refuse, where it cannot."""


def attach(names: Mapping[str, tuple[str, int]]) -> tuple[dict[str, Beside], list[str]]:
    """Each image's sidecars, and the sidecars that belong to no image.

    Two conventions meet here. Beside an image lie files of its stem, the name up to the *last*
    dot: ``22.05.png``, ``22.05.json``, or of its whole name: ``22.05.png.json``. WebDataset takes
    all members with one name up to the *first* dot as a sample: ``22.05.png`` and ``22.06.json``,
    too, and ``x.jpg`` with ``x.meta.json``. Neither may lose a refusal or swap a caption:

    - A sidecar is the own one of the images of just that whole name, or else of that stem.
    - One that is no image's by that rule speaks for its sample, and so does one named like the
      sample itself (``22.json``): what it refuses is refused for all of the sample's images.
    - An image without a sidecar of its own takes caption and values, too, from those that speak
      for its sample, if nothing but words stands behind the first dot (``x.left.jpg``,
      ``x.meta.json``): with numbers there, it may as well be another image's.

    Args:
        names: of images and sidecars by their identity: the name, and the part of the container
            that it stands in. Names of different parts are neighbours of nobody, but a sidecar
            without an image in its part speaks for its sample in all of them.
    """
    images = {identity for identity, (name, _) in names.items() if suffix_of(name) not in _SIDECAR}
    whole, stems, samples = defaultdict(list), defaultdict(list), defaultdict(list)
    everywhere = defaultdict(list)
    for identity in images:
        name, part = names[identity]
        whole[part, _composed(name)].append(identity)
        stems[part, _composed(_stem(name))].append(identity)
        samples[part, sample_key(name)].append(identity)
        everywhere[sample_key(name)].append(identity)
    found: dict[str, Beside] = {identity: Beside() for identity in images}
    by_stem: dict[str, list[str]] = defaultdict(list)
    spoken: dict[str, list[str]] = defaultdict(list)
    orphans: list[str] = []
    crowd: dict[tuple[int | None, str], int] = defaultdict(int)
    """Sidecars that speak for the whole sample, by its part, or none for all parts, and its key."""
    for identity, (name, part) in names.items():
        if identity in images:
            continue
        stem, key = _stem(name), sample_key(name)
        exact = _exactly(stem, whole[part, _composed(stem)], names, lambda own: own)
        alike = _exactly(stem, stems[part, _composed(stem)], names, _stem)
        for image in exact:
            found[image].own.append(identity)
        for image in () if exact else alike:
            by_stem[image].append(identity)
        if exact or alike:
            crowd[part, key] += stem == key
            if stem == key and crowd[part, key] <= _MOST_BESIDE:
                for image in set(samples[part, key]).difference(exact, alike):
                    found[image].sample.append(identity)
            continue
        near = samples[part, key] or everywhere[key]
        if not near:
            orphans.append(identity)
        speaks = (part if samples[part, key] else None, key)
        crowd[speaks] += 1
        for image in near if crowd[speaks] <= _MOST_BESIDE else ():
            found[image].sample.append(identity)
            if part == names[image][1] and _words_only(name) and _words_only(names[image][0]):
                spoken[image].append(identity)
    for image, beside in found.items():
        beside.own += by_stem[image]
        beside.own = beside.own or spoken[image]
        beside.sample = [name for name in beside.sample if name not in beside.own]
        name, part = names[image]
        key = sample_key(name)
        number = max(crowd.get((place, key), 0) for place in (part, None))
        if number > _MOST_BESIDE:
            beside.problem = f"{number} files speak for its sample, and none for it alone"
    return found, orphans


def _exactly(
    stem: str, candidates: list[str], names: Mapping[str, tuple[str, int]], of: Callable[[str], str]
) -> list[str]:
    """Of images alike but for their Unicode form, those of the same form where there are some."""
    same = [identity for identity in candidates if of(names[identity][0]) == stem]
    return same or candidates


def sample_key(name: str) -> str:
    """WebDataset's key: the name up to the first dot of its base.

    >>> sample_key("a.b/22.05.png")
    'a.b/22'
    """
    folder, slash, base = name.rpartition("/")
    return _composed(f"{folder}{slash}{base.split('.', 1)[0] or base}")


def is_map(name: str) -> bool:
    """Whether a file is a mask or another map of an image by its name, and no image itself.

    >>> is_map("x.seg.png"), is_map("x.mask.jpg"), is_map("22.05.png"), is_map("seg.png")
    (True, True, False, False)
    """
    words = name.rpartition("/")[2].lower().split(".")
    return len(words) > 2 and words[-2] in _MAPS and kind_of_file(name) == "image"


def masks_of(images: Collection[str], names: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    """The mask of each image that has one: ``x.mask.png`` of ``x.jpg``, in its part of a container.

    >>> masks_of(["a/x.jpg", "y.jpg"], {n: (n, 0) for n in ("a/x.jpg", "y.jpg", "a/x.mask.png")})
    {'a/x.jpg': 'a/x.mask.png'}
    """
    found = {}
    for identity, (name, part) in names.items():
        stem = _stem(name)
        if is_map(name) and suffix_of(stem) == ".mask":
            found[part, _composed(_stem(stem))] = identity
    of = {image: (names[image][1], _composed(_stem(names[image][0]))) for image in images}
    return {image: found[key] for image, key in of.items() if key in found}


def _words_only(name: str) -> bool:
    behind = name.rpartition("/")[2].split(".")[1:-1]
    return all(_WORD.fullmatch(part) for part in behind)


def _stem(name: str) -> str:
    return name[: len(name) - len(suffix_of(name))]


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


_SIDECAR = frozenset(SIDECAR_SUFFIXES)


def read_sidecars(
    beside: Beside,
    names: Mapping[str, tuple[str, int]],
    read: Callable[[str], bytes],
    settings: PoolSettings,
) -> tuple[str, dict[str, Any], list[str]]:
    """Caption, further values and notes of an image's sidecars.

    Text wins over JSON, and the file of the whole name over that of the stem; of values the
    strictest counts. What cannot be read is said in the notes. ``names`` are by identity as
    :func:`attach` took them, and ``read`` takes identities.
    """
    captions: dict[str, str] = {}
    extras: list[dict[str, Any]] = []
    notes: list[str] = []
    for own, identities in ((True, beside.own), (False, beside.sample)):
        for identity in identities:
            name = names[identity][0]
            suffix, base = suffix_of(name), printable(name.rpartition("/")[2])
            try:
                text, note = decode_text(read(identity))
            except Rejected as rejected:
                notes.append(f"{base} cannot be read ({rejected.detail})")
                continue
            if note:
                notes.append(f"{base} {note}")
            if suffix == ".json":
                rows = _json_rows(text)
                text = next(filter(None, (as_text(row.values.get("caption")) for row in rows)), "")
                notes += [f"{base} is {row.problem}" for row in rows if row.problem]
                for extra in (row_extra(row, settings) for row in rows):
                    extras.append(extra if own else {k: extra[k] for k in _KEPT if k in extra})
            elif own:
                text = caption_of(text, settings.caption_language)
            if own and text.strip():
                captions.setdefault(suffix, text)
    caption = next((captions[suffix] for suffix in SIDECAR_SUFFIXES if suffix in captions), "")
    return caption, merged_extra(*extras), notes


_KEPT = (*REFUSING, "opt_out")


def _json_rows(text: str) -> list[Row]:
    """An object is a row; a text is a caption; a list holds several of either."""
    row = json_row(0, text)
    if row.problem != "not a JSON object":
        return [row]
    said = read_json(text)
    rows = []
    for one in said if isinstance(said, list) else [said]:
        rows.append(value_row(0, {"caption": one} if isinstance(one, str) else one))
    return rows


def caption_of(text: str, language: str = "") -> str:
    """The caption in a text file.

    ``xx.utf8=…`` lines are translations (Tux Paint's stamps): the one of ``language`` is taken
    where there is one, else the lines that are none.
    """
    own: list[str] = []
    for line in text.splitlines():
        translated = _TRANSLATION.match(line)
        if translated is None:
            own.append(line)
        elif language and translated.group(1).lower() == language.lower():
            return translated.group(2)
    return " ".join(own)


def row_extra(row: Row, settings: PoolSettings) -> dict[str, Any]:
    """What a table says of an image beside its caption, in our columns.

    Several columns that mean the same (``punsafe``, ``nsfw_score``) and several values of one are
    one value, the strictest. ``opt_out`` is what refuses, by :func:`refusal_in_row`.
    """
    said: list[dict[str, Any]] = []
    for name, value in row.values.items():
        ours = column_of(name)
        if ours in ("similarity", "punsafe", "pwatermark", "aesthetic"):
            numbers = (as_number(one) for one in scalars(value))
            said += [{ours: number} for number in numbers if number is not None]
        elif ours in ("url", "license", "nsfw"):
            text = printable("; ".join(dict.fromkeys(leaves(value))))
            said += [{ours: _cut(text)}] if text else []
    if refusal := refusal_in_row(row.values, settings.fetch):
        said.append({"opt_out": refusal})
    return merged_extra(*said)


def merged_extra(*extras: Mapping[str, Any]) -> dict[str, Any]:
    """Values from several places as one: the strictest of what may refuse, the first of the rest.

    >>> merged_extra({"punsafe": 0.1, "url": "a"}, {"punsafe": 0.9, "opt_out": "noai", "url": "b"})
    {'punsafe': 0.9, 'url': 'a', 'opt_out': 'noai'}
    """
    merged: dict[str, Any] = {}
    for extra in extras:
        for name, value in extra.items():
            if name not in merged:
                merged[name] = value
            elif name in ("punsafe", "pwatermark"):
                merged[name] = max(merged[name], value)
            elif name in ("opt_out", "license", "nsfw") and value not in merged[name].split("; "):
                merged[name] = _cut(f"{merged[name]}; {value}")
    return merged


def _cut(text: str) -> str:
    """At most so much that a manifest can show it; what was cut is not what it began with."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
