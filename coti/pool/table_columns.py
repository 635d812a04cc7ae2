"""The usual names of a table's columns, and ours for them."""

from __future__ import annotations

import re

from coti.pool.refusals import REFUSAL_COLUMNS

__all__ = ["COLUMNS", "REFUSING", "match_columns", "plain_name"]

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


def match_columns(names: list[str]) -> dict[str, str]:
    """Our column names -> the file's, by :data:`COLUMNS`.

    Of :data:`REFUSING` a second one that is there, too, is under ``punsafe 2``, and so on.
    """
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(plain_name(name), name)
    found: dict[str, str] = {}
    for ours, variants in COLUMNS.items():
        there = [plain[variant] for variant in variants if variant in plain]
        for number, theirs in enumerate(there if ours in REFUSING else there[:1], 1):
            found[ours if number == 1 else f"{ours} {number}"] = theirs
    return found


def plain_name(name: str) -> str:
    """A column's name as :data:`COLUMNS` spells names."""
    return re.sub(r"[-\s]+", "_", name.strip().lstrip("\ufeff").lower())
