"""One self-contained page on a pool: what came in, what stayed out, why, and what it looks like."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coti.core.fitting import CUT_MUCH, Fit
from coti.core.html_page import render_page
from coti.pool.cut_images import cut_sentence, shaded, shares_cut
from coti.pool.manifest import ACCEPTED, QUARANTINED, counts, manifest_hash
from coti.pool.pool_images import PoolImages
from coti.pool.reasons import REASONS
from coti.pool.suite_runs import expectation_rows
from coti.pool.validation import Validation

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_jpeg", "render_report"]

_SAMPLE, _PER_REASON, _GROUPS, _MEMBERS, _DETAILS, _CUT = 32, 16, 12, 6, 12, 12
_CHARTS = (
    ("Width, pixels", "width"),
    ("Height, pixels", "height"),
    ("Cut off the long side, %", "cut"),
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
    images: PoolImages | None,
    notes: Sequence[str] = (),
    fit: Fit | None = None,
) -> str:
    """The report as HTML. Text of strangers is escaped; images are ours, embedded as JPEG.

    Without ``images``, where they are far away, there are names in their place. ``fit`` is how they
    became squares.
    """
    fit = fit or Fit()
    manifest = validation.manifest
    manifest = manifest.assign(cut=[round(100 * each) for each in shares_cut(manifest, fit)])
    number = counts(manifest)
    show = _Images(images, fit)
    good = manifest[manifest["status"] == ACCEPTED]
    sample = good.iloc[:: max(1, len(good) // _SAMPLE)].head(_SAMPLE)
    groups = manifest[manifest["group"] != ""].groupby("group", sort=False)
    return render_page(
        Path(__file__).with_name("pool_report.html.j2"),
        source=source,
        kind=kind,
        version=manifest_hash(manifest),
        notes=[*notes, *validation.warnings],
        total=len(manifest),
        accepted=number[ACCEPTED],
        quarantined=number[QUARANTINED],
        others=number.get("other_file", 0),
        fit=fit,
        cut=cut_sentence(shares_cut(good, fit), f"{len(good):,} accepted images"),
        most_cut=_rows(
            good[good["cut"] > 100 * CUT_MUCH]
            .sort_values("cut", ascending=False, kind="stable")
            .head(_CUT)
        ),
        largest_cut=int(good["cut"].max()) if len(good) else 0,
        groups=_groups(groups),
        group_count=len(groups),
        reasons=[
            _reason(code, count, manifest[manifest["reason"] == code])
            for code, count in number.items()
            if code in REASONS
        ],
        sample=_rows(sample),
        charts=_charts(good),
        tallies=_tallies(good),
        expectations=expectation_rows(validation.result),
        image=show,
        small=show.side < 96,
        imaged=lambda rows: any(row["id"] in show for row in rows),
    )


class _Images:
    """``image(row)`` in the template: a figure with the sanitised image, or without one."""

    def __init__(self, images: PoolImages | None, fit: Fit) -> None:
        self._images, self._fit = images, fit
        self.side = 0
        if images is not None and images.ids:
            self.side = _open(images.png(images.ids[:1])[0]).width

    def __contains__(self, identity: str) -> bool:
        return self._images is not None and identity in self._images

    def __call__(self, row: Mapping[str, Any], style: str = "") -> Any:
        from markupsafe import Markup

        cut = f"{row['cut']} % cut off" if row["cut"] else ""
        lines = [str(row["source"])[:80], cut, str(row["detail"])[:120], str(row["caption"])[:120]]
        text = Markup("<br>").join(line for line in lines if line)
        title = f"{row['source']}\n{row['detail']}\n{str(row['caption'])[:300]}"
        return Markup(
            '<figure class="{}" title="{}">{}<figcaption>{}</figcaption></figure>'
        ).format(style, title, self._shown(row, style), text)

    def _shown(self, row: Mapping[str, Any], style: str) -> Any:
        from markupsafe import Markup

        identity = str(row["id"])
        whole = self._images.whole(identity) if self._images and style == "uncut" else None
        if whole is not None:
            data = shaded(whole, self._fit)
        elif self._images is not None and identity in self._images:
            data = as_jpeg(self._images.png([identity])[0])
        else:
            return Markup('<div class="none">{}</div>').format(_size(row) or "no image")
        # What a person who cannot see it is told: what the pool says it shows, or its name.
        said = str(row["caption"])[:120] or str(row["source"])[:120]
        encoded = base64.b64encode(data).decode()
        return Markup('<img alt="{}" src="data:image/jpeg;base64,{}">').format(said, encoded)


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A mapping a row, of the few that are shown."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _reason(code: str, count: int, rows: pd.DataFrame) -> dict[str, Any]:
    """A reason's meaning, some of its rows, and its details, the most frequent first."""
    found = Counter(detail[:120] for detail in rows["detail"].tolist())
    names = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:_DETAILS]
    return {
        "code": code,
        "count": count,
        "meaning": REASONS[code],
        "rows": _rows(rows.head(_PER_REASON)),
        "names": names,
    }


def _open(png: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(png), formats=("PNG",))


def as_jpeg(png: bytes) -> bytes:
    """An image of the pool as small as a page shows it."""
    image = _open(png)
    image.thumbnail((248, 248))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return stream.getvalue()


def _size(row: Mapping[str, Any]) -> str:
    return f"{row['bytes']:,} bytes" if row["bytes"] else ""


def _groups(groups: Any) -> list[list[dict[str, Any]]]:
    """Members of the largest groups, the kept one first."""
    largest = groups.size().sort_values(ascending=False, kind="stable").index[:_GROUPS]
    return [
        sorted(_rows(groups.get_group(name)), key=lambda row: bool(row["duplicate_of"]))[:_MEMBERS]
        for name in largest
    ]


def _charts(accepted: pd.DataFrame, bins: int = 24) -> list[dict[str, Any]]:
    import numpy as np

    charts: list[dict[str, Any]] = []
    for name, column in _CHARTS:
        values = accepted[column].dropna().to_numpy(dtype=float)
        if not len(values) or (column in ("caption_length", "cut") and not values.any()):
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
