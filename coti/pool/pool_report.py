"""One self-contained page on a pool: what came in, what stayed out, why, and what it looks like."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coti.core.html_page import render_page
from coti.pool.manifest import ACCEPTED, QUARANTINED, counts, manifest_hash
from coti.pool.pool_images import PoolImages
from coti.pool.reasons import REASONS
from coti.pool.suite_runs import expectation_rows
from coti.pool.validation import Validation

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["render_report"]

_SAMPLE, _PER_REASON, _GROUPS, _MEMBERS, _DETAILS = 32, 16, 12, 6, 12
_CHARTS = (
    ("Width, pixels", "width"),
    ("Height, pixels", "height"),
    ("Bytes", "bytes"),
    ("Caption, characters", "caption_length"),
    ("Sharpness (0 to 1)", "blurry_score"),
    ("Information (0 to 1)", "low_information_score"),
    ("Similarity to the caption", "similarity"),
    ("Watermark", "pwatermark"),
    ("Unsafe", "punsafe"),
)


def render_report(
    source: str,
    kind: str,
    validation: Validation,
    images: PoolImages,
    notes: Sequence[str] = (),
) -> str:
    """The report as HTML. Text of strangers is escaped; images are ours, embedded as JPEG."""
    manifest = validation.manifest
    number = counts(manifest)
    rows: list[Any] = manifest.to_dict("records")
    show = _Images(images)
    good = [row for row in rows if row["status"] == ACCEPTED]
    step = max(1, len(good) // _SAMPLE)
    reasons = [
        {
            "code": code,
            "count": count,
            "meaning": REASONS[code],
            "rows": [row for row in rows if row["reason"] == code][:_PER_REASON],
            "names": _names([row for row in rows if row["reason"] == code]),
        }
        for code, count in number.items()
        if code in REASONS
    ]
    others = number.get("other_file", 0)
    return render_page(
        Path(__file__).with_name("pool_report.html.j2"),
        source=source,
        kind=kind,
        version=manifest_hash(manifest),
        notes=[*notes, *validation.warnings],
        total=len(rows),
        accepted=number[ACCEPTED],
        quarantined=number[QUARANTINED],
        others=others,
        groups=_groups(rows),
        most_groups=_GROUPS,
        reasons=reasons,
        sample=good[::step][:_SAMPLE],
        charts=_charts(validation.accepted),
        tallies=_tallies(validation.accepted),
        expectations=expectation_rows(validation.result),
        image=show,
        small=show.side < 96,
        imaged=lambda found: any(row["id"] in images for row in found),
    )


class _Images:
    """``image(row)`` in the template: a figure with the sanitised image, or without one."""

    def __init__(self, images: PoolImages) -> None:
        self._images = images
        self.side = 0
        if images.ids:
            self.side = _open(images.png(images.ids[:1])[0]).width

    def __call__(self, row: Mapping[str, Any], style: str = "") -> Any:
        from markupsafe import Markup

        identity = str(row["id"])
        if identity in self._images:
            data = _jpeg(self._images.png([identity])[0])
            inside = Markup('<img alt="" src="data:image/jpeg;base64,{}">').format(data)
        else:
            inside = Markup('<div class="none">{}</div>').format(_size(row) or "no image")
        lines = [str(row["source"])[:80], str(row["detail"])[:120], str(row["caption"])[:120]]
        text = Markup("<br>").join(line for line in lines if line)
        title = f"{row['source']}\n{row['detail']}\n{str(row['caption'])[:300]}"
        return Markup(
            '<figure class="{}" title="{}">{}<figcaption>{}</figcaption></figure>'
        ).format(style, title, inside, text)


def _names(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """The details of a reason's rows and how often each occurs, most frequent first."""
    found = Counter(str(row["detail"])[:120] for row in rows)
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:_DETAILS]


def _open(png: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(png), formats=("PNG",))


def _jpeg(png: bytes) -> str:
    image = _open(png)
    image.thumbnail((248, 248))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return base64.b64encode(stream.getvalue()).decode()


def _size(row: Mapping[str, Any]) -> str:
    return f"{row['bytes']:,} bytes" if row["bytes"] else ""


def _groups(rows: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Members of each group, the kept one first, larger groups first."""
    members: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["group"]:
            members.setdefault(str(row["group"]), []).append(row)
    return [
        sorted(group, key=lambda row: bool(row["duplicate_of"]))[:_MEMBERS]
        for group in sorted(members.values(), key=lambda group: -len(group))
    ]


def _charts(accepted: pd.DataFrame, bins: int = 24) -> list[dict[str, Any]]:
    import numpy as np

    charts: list[dict[str, Any]] = []
    for name, column in _CHARTS:
        values = accepted[column].dropna().to_numpy(dtype=float)
        if not len(values) or (column == "caption_length" and not values.any()):
            continue
        low, high = float(values.min()), float(values.max())
        logarithmic = low > 0 and high / low > 50
        scaled = np.log(values) if logarithmic else values
        heights, _ = np.histogram(scaled, bins=bins)
        charts.append(
            {
                "name": name + (", logarithmic" if logarithmic else ""),
                "bars": [round(86.0 * math.sqrt(h / heights.max()), 1) for h in heights],
                "low": _number(low),
                "median": _number(float(np.median(values))),
                "high": _number(high),
            }
        )
    return charts


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _tallies(accepted: pd.DataFrame) -> list[tuple[str, int]]:
    formats = [(str(k), int(v)) for k, v in accepted["format"].value_counts().items()]
    modes = [(str(k), int(v)) for k, v in accepted["mode"].value_counts().items()]
    flags = accepted["quality"].str.split(",").explode()
    flagged = [(str(k), int(v)) for k, v in flags[flags != ""].value_counts().items()]
    return [*formats, *modes, *flagged]
