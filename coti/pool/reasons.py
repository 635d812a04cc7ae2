"""Why a row is in quarantine: every reason code, in the order of the checks.

A quarantined row has exactly one of these, the first that applied; an accepted row has none.
"""

from __future__ import annotations

__all__ = ["PASSING", "REASONS", "Rejected"]

REASONS: dict[str, str] = {
    # the source
    "bad_row": "The table's row names no file or URL, or holds values of a wrong type.",
    "repeated_row": "An earlier row of the table names the same file.",
    "other_file": "Not an image by its name: a sound, a text, data. Not opened, and in no share.",
    "missing_file": "The table names a file that is not there.",
    "outside_path": "The name leaves the pool: an absolute path, '..', or a link that does.",
    "not_regular": "Not a regular file: a link to nowhere, a device, a pipe, a sparse member.",
    "broken_shard": "The rest of a shard cannot be read: cut off, or not a tar archive.",
    "vanished": "Listed, but gone when it was read.",
    "unreadable": "Reading failed: permission, disk, network, or an answer cut short.",
    # fetching
    "download_failed": "The download failed: no address, refused, an HTTP error, cut short.",
    "download_refused": "The URL is not for us: not http(s), or its address is not public.",
    "download_timeout": "The download took longer than pool_rules.fetch.timeout.",
    "wrong_content_type": "The server says that this is not an image.",
    "opt_out": "The owner asks not to be used, by a header, a column or the image's metadata; see "
    "pool_rules.fetch.opt_out.",
    # the bytes
    "empty_file": "No bytes.",
    "file_too_large": "More bytes than pool_rules.max_bytes.",
    "not_an_image": "Not an image: text, HTML, an archive, a sound.",
    "unsupported_format": "An image in a format that is not opened: SVG, PSD, HEIC and others.",
    "truncated": "The image ends before it should.",
    "corrupt": "The image's data contradicts itself.",
    "too_many_pixels": "More pixels than pool_rules.max_pixels.",
    "decompression_bomb": "Declares more pixels than its bytes can hold, above "
    "pool_rules.max_pixels.",
    "animated": "Several frames or pages; see pool_rules.animated.",
    "decode_memory": "Decoding needed more memory than pool_rules.decode_memory.",
    "decode_timeout": "Decoding took longer than pool_rules.decode_timeout.",
    "decode_crashed": "Decoding killed its process.",
    # the expectations
    "too_small": "The shorter side is below pool_rules.min_side.",
    "odd_aspect": "Longer over shorter side is above pool_rules.max_aspect_ratio.",
    "caption_too_long": "The caption is longer than pool_rules.max_raw_caption_length.",
    "license": "The license is not in pool_rules.allowed_licenses.",
    "watermark": "pwatermark is above pool_rules.max_watermark.",
    "unsafe": "punsafe is above pool_rules.max_unsafe, or nsfw is not in pool_rules.allowed_nsfw.",
    "low_similarity": "The table's similarity is below pool_rules.min_similarity.",
    "blurry": "Blurry, and pool_rules.reject_quality lists it.",
    "dark": "Dark, and pool_rules.reject_quality lists it.",
    "light": "Overexposed, and pool_rules.reject_quality lists it.",
    "low_information": "Nearly uniform, and pool_rules.reject_quality lists it.",
    # the groups
    "duplicate": "The same bytes as the image it names, which is kept.",
    "near_duplicate": "Looks like the image it names, which is kept.",
}
"""Reason code -> what it means."""
PASSING = frozenset(
    (
        *("vanished", "unreadable", "download_failed", "download_timeout"),
        *("decode_memory", "decode_timeout", "decode_crashed"),
    )
)
"""Those that may be otherwise the next time: a network, a disk or a busy machine was at fault."""


class Rejected(Exception):
    """One input cannot be used: a reason code of :data:`REASONS` and what was found.

    Never leaves ``coti.pool``: whoever reads or decodes an input turns it into a row.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        if reason not in REASONS:
            raise KeyError(reason)
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
