"""``DATASHEET.md``: what is in an exported set and why, where from, under which licence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coti import __version__
from coti.core.redaction import redacted
from coti.dataset.chosen_set import ChosenSet
from coti.dataset.markdown import code, plain, table
from coti.dataset.trainers.buckets import buckets
from coti.dataset.trainers.protocol import Job

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["datasheet"]


def datasheet(
    chosen: ChosenSet,
    exported: pd.DataFrame,  # rows of the set that were written, with their files
    job: Job,
    trainer: str,  # as people call it
    left_out: Mapping[str, int],  # by format
    start: str,
) -> str:
    """The page as Markdown; texts of strangers are escaped."""
    rest = chosen.table[chosen.table["order"] == 0]
    sizes = buckets([(image.width, image.height) for image in job.images], job.resolution)
    licenses = exported["license"].replace("", "not stated").value_counts()
    said = [f"{number} {kind}" for kind, number in left_out.items()]
    lines = [
        f"# {plain(chosen.concept)}: {len(exported)} images for {trainer}",
        "",
        f"Written by coti {__version__}. Start the training in this folder, the path of the "
        "trainer set to yours:",
        "",
        "```sh",
        start,
        "```",
        "",
        *([f"Trigger word: {code(job.trigger)}.", ""] if job.trigger else []),
        *(
            [f"Left out, since the trainer does not read them: {', '.join(said)}.", ""]
            if said
            else []
        ),
        f"Masks: {_masks(job)}.",
        "",
        "## Where it is from",
        "",
        f"Chosen of {len(chosen.table)} inputs of {code(_pool(chosen.pool) or chosen.kind)} "
        f"({plain(chosen.kind)}) by the strategy {code(chosen.strategy)}. Nobody has cut or "
        "recoded an image: each is as it was found, its hash checked.",
        "",
        *([plain(chosen.verdict.sentence), ""] if chosen.verdict else []),
        "## Licences",
        "",
        "As the pool states them; nobody has asked their owners.",
        "",
        *table(("Licence", "Images"), list(licenses.items())),
        "",
        f"## Shapes at {job.resolution} pixels",
        "",
        *table(("Bucket", "Images"), [(f"{w}×{h}", number) for (w, h), number in sizes.items()]),
        "",
        "## What was refused",
        "",
        *table(("Why", "Inputs"), list(rest["why"].map(_kind).value_counts().items())),
        "",
        "## Each image",
        "",
        *table(
            ("File", "Order", "Score", "S_aes", "S_con", "Cycle", "Licence", "Source", "SHA-256"),
            [_row(row) for row in exported.to_dict("records")],
        ),
        "",
    ]
    return "\n".join(lines)


def _masks(job: Job) -> str:
    number = sum(bool(image.mask) for image in job.images)
    if not number:
        return "none"
    part = "" if job.all_masked else "; a trainer that wants one of every image is told of none"
    return f"{number} of {len(job.images)} images have one{part}"


def _pool(given: str) -> str:
    """An address as it is; of a local path the last part: a sheet is passed on."""
    return redacted(given) if "://" in given else Path(given).name


def _kind(why: str) -> str:
    """Without what is particular to an input."""
    return why.partition(": ")[0] + (")" if why.startswith("unusable (") and ": " in why else "")


def _row(row: Mapping[Any, Any]) -> list[str]:
    inside = f", {row['member']} at byte {row['offset']}" if row["offset"] else ""
    member = f", {row['member']}" if row["member"] and not row["offset"] else ""
    remote = "://" in str(row["address"])
    return [
        str(row["image"]),
        str(row["order"]),
        *(_number(row[name]) for name in ("score", "s_aes", "s_con")),
        str(row["cycle"]),
        str(row["license"]) or "not stated",
        f"{row['address'] if remote else row['file']}{inside or member}",
        str(row["sha256"]),
    ]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
