"""The usual names of a table's columns, and ours for them."""

from __future__ import annotations

import re

from coti.pool.refusals import REFUSAL_COLUMNS

__all__ = ["COLUMNS", "REFUSING", "column_of", "match_columns", "plain_name"]

COLUMNS: dict[str, tuple[str, ...]] = {
    "file_name": ("file_name", "filename", "image", "file", "path", "image_path", "filepath"),
    "url": ("url", "image_url", "img_url", "image_link", "link", "src", "uri"),
    "caption": ("text", "caption", "prompt", "alt_text", "alttext", "alt", "description", "title"),
    "width": ("original_width", "width"),
    "height": ("original_height", "height"),
    "similarity": (
        "similarity",
        "clip_similarity",
        "clip_similarity_vitb32",
        "clip_b_32_similarity_score",
        "clip_l14_similarity_score",
        "clip_similarity_vitl14",
    ),
    "punsafe": ("punsafe", "prob_unsafe", "unsafe", "nsfw_score"),
    "pwatermark": (
        "pwatermark",
        "prob_watermark",
        "watermark",
        "watermark_score",
    ),
    "aesthetic": (
        "aesthetic_score",
        "aesthetic",
        "aesthetics",
        "aesthetic_score_laion_v2",
        "predicted_aesthetic_score",
    ),
    "license": ("license", "licence", "license_name"),
    "nsfw": ("nsfw", "nsfw_tag", "nsfw_label"),
    **{name: (name, name.replace("_", ":")) for name in REFUSAL_COLUMNS},
    "hash": ("hash", "md5", "uid"),
    "status": ("status",),
    "error_message": ("error_message", "error"),
    "key": ("key", "__key__"),
    "image": ("jpg", "png", "webp", "image_bytes"),
}
"""Our name -> names it goes by, in order of preference; case, '-' and ' ' do not matter."""

REFUSING = ("license", "nsfw", "punsafe", "pwatermark")
"""Columns by which an image is refused, beside its owner's :data:`REFUSAL_COLUMNS`."""

_EACH = frozenset((*REFUSING, *REFUSAL_COLUMNS))


def match_columns(names: list[str]) -> dict[str, int]:
    """Our column names -> the places of the file's, by :data:`COLUMNS`.

    Where an image may be refused, each column counts, two of one name, too: the second is under
    ``punsafe 2``, and so on.

    >>> match_columns(["Text", "noai", "NoAI", "text"])
    {'caption': 0, 'noai': 1, 'noai 2': 2}
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(plain_name(name), []).append(place)
    found: dict[str, int] = {}
    for ours, variants in COLUMNS.items():
        there = [place for variant in dict.fromkeys(variants) for place in places.get(variant, ())]
        for number, place in enumerate(there if ours in _EACH else there[:1], 1):
            found[ours if number == 1 else f"{ours} {number}"] = place
    return found


def column_of(name: str) -> str:
    """Our name of a column without the number that :func:`match_columns` may give it.

    >>> column_of("punsafe 2")
    'punsafe'
    """
    return name.partition(" ")[0]


def plain_name(name: str) -> str:
    """A column's name as :data:`COLUMNS` spells names."""
    return re.sub(r"[-\s]+", "_", name.strip().lstrip("\ufeff").lower())
