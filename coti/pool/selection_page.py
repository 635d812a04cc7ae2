"""One self-contained page on a selection: why each image is in, and why the other ones are not."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coti.core.html_page import render_page
from coti.loop.verdict import Verdict
from coti.pool.manifest import ACCEPTED, manifest_hash
from coti.pool.pool_images import PoolImages
from coti.pool.pool_report import as_jpeg

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["render_selection"]

_MOST_PICKED, _PER_REASON = 1_000, 16


def render_selection(
    concept: str,
    source: str,
    table: pd.DataFrame,  # a manifest with order, score, s_aes, s_con, why; the chosen ones first
    images: PoolImages,
    verdict: Verdict,
    strategy: str,
    notes: Sequence[str] = (),
) -> str:
    """The page as HTML. Text of strangers is escaped; images are ours, embedded as JPEG."""
    picked = table[table["order"] > 0]
    usable = table[table["status"] == ACCEPTED]
    others = usable[usable["order"] == 0]
    unusable = table[table["status"] != ACCEPTED]
    reasons = others["why"].value_counts()
    licenses = picked["license"].replace("", "not stated").value_counts()
    return render_page(
        Path(__file__).with_name("selection_page.html.j2"),
        concept=concept,
        source=source,
        version=manifest_hash(table),
        strategy=strategy,
        verdict=verdict,
        notes=notes,
        inputs=len(table),
        accepted=len(usable),
        picked_count=len(picked),
        picked=_cards(picked.head(_MOST_PICKED), images),
        reasons=[
            (why, int(count), _cards(others[others["why"] == why].head(_PER_REASON), images))
            for why, count in reasons.items()
        ],
        unusable=[(code, int(n)) for code, n in unusable["reason"].value_counts().items()],
        licenses=[(name, int(count)) for name, count in licenses.items()],
        small=_side(images) < 96,
    )


def _cards(rows: pd.DataFrame, images: PoolImages) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    pngs = images.png([str(name) for name in rows["id"]])
    for png, row in zip(pngs, rows.to_dict("records"), strict=True):
        encoded = base64.b64encode(as_jpeg(png)).decode()
        scores = [
            f"{float(row[name]):{form}}"
            for name, form in (("score", ".2f"), ("s_aes", ".1f"), ("s_con", ".1f"))
            if not math.isnan(float(row[name]))
        ]
        known = {str(key): value for key, value in row.items()}
        found.append({**known, "data": encoded, "scores": " · ".join(scores)})
    return found


def _side(images: PoolImages) -> int:
    """Pixels a side of a pool's images."""
    import io

    from PIL import Image

    png = images.png(images.ids[:1])[0]
    return Image.open(io.BytesIO(png), formats=("PNG",)).width
