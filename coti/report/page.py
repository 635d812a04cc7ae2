"""``report.html``: a whole run on one self-contained page.

The page makes no request to anywhere: images are data URIs, charts are inline SVG, and a
content security policy forbids everything else. All texts are escaped by the template engine;
nothing from a pool is ever put into script or style.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from coti.core.html_page import render_page
from coti.core.images import read_image
from coti.core.whole_files import write_whole
from coti.loop.verdict import Verdict
from coti.metrics.table import METRICS, Metric, headline
from coti.report.charts import score_charts, step_charts
from coti.report.cycles_table import shown_metrics
from coti.report.formats import (
    as_number,
    format_duration,
    format_metric,
    format_readable,
    format_value,
)
from coti.selection.outcomes import OUTCOMES
from coti.settings.run import flat

__all__ = ["TEMPLATES", "Card", "RunReport", "embedded_image", "write_report"]

TEMPLATES = Path(__file__).parent / "templates"
"""The pages' templates, style and script."""
CARD_SIDE, SAMPLE_SIDE = 112, 160
"""Longest side, in pixels, to which cards and samples are scaled down for the page."""


@dataclass(frozen=True)
class Card:
    """An image of the pool with its scores, as picked or not in a cycle."""

    png: bytes
    """The image in any format of :data:`coti.core.decoding.FORMATS`."""
    id: str
    s_aes: float | None = None
    """0 to 10."""
    s_con: float | None = None
    """0 to 10."""
    score: float | None = None
    """The strategy's."""
    rank: int | None = None
    """Place by the score among the pool's images that were left, 1 the best."""
    reason: str = ""
    """Why it was picked, or not."""


@dataclass
class RunReport:
    """Everything the page shows, as plain data; what is empty is left out of the page.

    Lists by cycle (``curves``, ``picked``, ``samples`` …) have one entry a cycle in the order of
    ``cycles``, an empty one where there is nothing.
    """

    concept: str
    cycles: Sequence[Mapping[str, Any]]
    """A mapping a cycle with the keys of :data:`coti.loop.record.CYCLE_COLUMNS`."""
    title: str = ""
    """Name of the run."""
    placeholder_token: str = ""
    strategy: str = ""
    finished: str = ""
    """When the run ended, as a person reads it."""
    kept_cycle: int | None = None
    """The ``cycle`` whose embedding is kept."""
    stop_reason: str = ""
    verdict: Verdict | None = None
    """Whether the run worked; the page's first line."""
    pool_inputs: int | None = None
    """Rows that came in."""
    pool_accepted: int | None = None
    """Rows that were accepted; what the images used are counted against."""
    curves: Sequence[Sequence[Mapping[str, Any]]] = ()
    """Mappings with ``step``, ``loss``, ``learning_rate``, ``stage``, ``phi`` or None, …"""
    picked: Sequence[Sequence[Card]] = ()
    not_drawn: Sequence[Sequence[Card]] = ()
    """Some of what passed and was not drawn, from the best to the worst."""
    held_back: Sequence[Sequence[Card]] = ()
    """Some of what did not pass, from the best to the worst."""
    candidates: Sequence[Mapping[str, int]] = ()
    """How many of each of these three there were, where not all are here."""
    samples: Sequence[Sequence[bytes]] = ()
    """Images generated after each cycle, the same noise at the same place."""
    start_samples: Sequence[bytes] = ()
    """The same noise before any training."""
    seeds: Sequence[bytes] = ()
    quarantine: Sequence[tuple[str, int, Sequence[str]]] = ()
    """Reason, how many, and names of a few."""
    pool_report: str | Path | None = None
    """The page on the pool, beside this one."""
    config: Mapping[str, Any] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str | Path] = field(default_factory=dict)
    """Name and path of what lies beside; relative paths count from the page's folder."""


def write_report(report: RunReport, path: str | Path, *, max_cards: int = 120) -> Path:
    """Write the page to ``path``, whole or not at all, and return the path.

    At most ``max_cards`` images of each kind are shown of a cycle, the best ranked first;
    the page says how many there were.

    Raises:
        PoolError: one of the images cannot be decoded.
    """
    path = Path(path)
    html = _render(report, path, max_cards)
    write_whole(path, html.encode())
    return path


def _render(report: RunReport, path: Path, max_cards: int) -> str:
    from markupsafe import Markup

    names = [f"cycle {cycle['cycle']}" for cycle in report.cycles]
    stops = _stops(report, names)
    best_stops = [index for index, stop in enumerate(stops) if stop["best"]]
    return render_page(
        TEMPLATES / "page.html.j2",
        script=(TEMPLATES / "script.js.j2").read_text(encoding="utf-8"),
        filters={
            "number": format_readable,
            "duration": format_duration,
            "value": format_value,
            "metric": format_metric,
        },
        report=report,
        metrics=shown_metrics(report.cycles),
        tiles=_headline(report),
        best=_best(report),
        stops=stops,
        stop_at=best_stops[0] if best_stops else len(stops) - 1,
        seeds=[_image(seed, SAMPLE_SIDE) for seed in report.seeds],
        # The kept cycle is what a reader came for; the others stay in their order.
        selections=sorted(_selections(report, names, max_cards), key=lambda each: not each["best"]),
        charts=score_charts(report.cycles, report.kept_cycle),
        step_charts=step_charts(report.curves, names),
        quarantined=sum(count for _, count, _ in report.quarantine),
        config=flat(report.config),
        lineage=report.lineage.items(),
        files=[(name, *_link(file, path)) for name, file in report.files.items()],
        pool_report=_link(report.pool_report, path)[0] if report.pool_report else "",
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
    )


def _best(report: RunReport) -> Mapping[str, Any] | None:
    return next((c for c in report.cycles if c["cycle"] == report.kept_cycle), None)


def _headline(report: RunReport) -> list[dict[str, str]]:
    """The strip's tiles: a label, the value, a detail."""
    if not report.cycles:
        return []
    first, best = report.cycles[0], _best(report)
    end = report.cycles[-1] if best is None else best

    def detail(metric: Metric) -> str:
        """Of how many, its interval, and what it was in the first cycle."""
        candidates = as_number(end.get(f"{metric.name}_candidates"))
        chance = as_number(end.get(f"{metric.name}_chance"))
        parts = [f"of {metric.scale:g}"] if metric.scale not in (None, 1.0) else []
        ends = format_metric(metric, end).partition(" [")[2]
        parts += [f"[{ends}"] if ends else []
        value, before = as_number(end.get(metric.name)), as_number(first.get(metric.name))
        if end is not first and before is not None and value is not None:
            parts.append(f"from {metric.format(before)}")
            if metric.scale is None and before:
                parts[-1] += f" ({(value - before) / before:+.0%})".replace("-", "−")
        if candidates:
            parts.append(f"top 1 of {candidates:,.0f}")
        if chance is not None:
            parts.append(f"by chance {chance:.3g}")
        return ", ".join(parts)

    tiles = []
    if best is not None:
        tiles.append(("Kept cycle", str(report.kept_cycle), f"of {len(report.cycles)} trained"))
    tiles += [
        (metric.label, format_metric(metric, end).partition(" [")[0], detail(metric))
        for metric in _few(end)
    ]
    until = report.cycles[: report.cycles.index(end) + 1]
    used = sum(int(as_number(cycle.get("picked")) or 0) for cycle in until)
    of = "" if report.pool_accepted is None else f"of {report.pool_accepted:,} in the pool"
    tiles.append(("Images used", f"{used:,}", of))
    if report.stop_reason:
        tiles.append(("Why it stopped", report.stop_reason, ""))
    kinds = {"Why it stopped": "words"}
    return [
        {"label": label, "value": value, "detail": detail, "kind": kinds.get(label, "")}
        for label, value, detail in tiles
    ]


def _few(cycle: Mapping[str, Any]) -> list[Metric]:
    """The metrics that a cycle has and that are shown where there is room for a few."""
    return headline(name for name in METRICS if as_number(cycle.get(name)) is not None)


def _stops(report: RunReport, names: Sequence[str]) -> list[dict[str, Any]]:
    """Where the slider stops: the images before training, then those of each cycle."""
    stops = []
    if report.start_samples:
        images = [_image(data, SAMPLE_SIDE) for data in report.start_samples]
        stops.append({"name": "before training", "detail": "", "images": images, "best": False})
    for name, cycle, samples in zip(names, report.cycles, report.samples, strict=False):
        detail = [f"{metric.label} {format_metric(metric, cycle)}" for metric in _few(cycle)]
        stops.append(
            {
                "name": name,
                "detail": " · ".join(detail),
                "images": [_image(data, SAMPLE_SIDE) for data in samples],
                "best": cycle["cycle"] == report.kept_cycle,
            }
        )
    return [stop for stop in stops if stop["images"]]


def _selections(report: RunReport, names: Sequence[str], max_cards: int) -> list[dict[str, Any]]:
    """A cycle's cards, by what became of the image: the report's field of that name."""
    selections = []
    for index, (name, cycle) in enumerate(zip(names, report.cycles, strict=True)):
        totals = report.candidates[index] if index < len(report.candidates) else {}
        kinds = []
        for kind, heading in OUTCOMES.items():
            cards = getattr(report, kind)
            cards = cards[index] if index < len(cards) else ()
            if cards:
                kinds.append(
                    {
                        "kind": kind,
                        "heading": heading,
                        "cards": _cards(cards, max_cards),
                        "total": max(totals.get(kind, 0), len(cards)),
                    }
                )
        if kinds:
            best = cycle["cycle"] == report.kept_cycle
            selections.append({"name": name, "cycle": cycle, "best": best, "kinds": kinds})
    return selections


def _cards(cards: Sequence[Card], most: int) -> list[tuple[Card, dict[str, Any]]]:
    ranked = sorted(cards, key=lambda card: (card.rank is None, card.rank or 0))
    return [(card, _image(card.png, CARD_SIDE)) for card in ranked[:most]]


def _image(data: bytes, longest: int) -> dict[str, Any]:
    return embedded_image(read_image(data), longest)


def embedded_image(image: Image.Image, longest: int) -> dict[str, Any]:
    """As a page takes it: small, encoded anew without metadata, ``uri`` and whether ``small``."""
    if max(image.size) > longest:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    clean = Image.new("RGB", image.size)
    clean.paste(image)
    small = max(clean.size) <= 64
    buffer = io.BytesIO()
    if small:
        clean.save(buffer, "WEBP", lossless=True, quality=100, method=4)
    else:
        clean.save(buffer, "WEBP", quality=82, method=4)
    uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"uri": uri, "small": small}


def _link(file: str | Path, page: Path) -> tuple[str, str]:
    """A relative link from the page to a file, and its size in words if it is there."""
    beside = page.parent / file
    size = ""
    if beside.is_file():
        count = beside.stat().st_size
        size = f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"
    relative = Path(os.path.relpath(beside, page.parent)).as_posix()
    return "./" + quote(relative, errors="surrogateescape"), size
