"""The page, the CSV and the terminal table of a run."""

from __future__ import annotations

import base64
import csv
import hashlib
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import PoolError
from coti.core.images import encode_png
from coti.loop.record import CYCLE_COLUMNS, CycleRecord
from coti.loop.verdict import Verdict
from coti.metrics.table import METRICS, Metric
from coti.report import (
    Card,
    RunReport,
    cycles_table,
    write_cycles_csv,
    write_report,
)
from coti.report.charts import Line, line_chart, score_charts, step_charts
from coti.report.formats import as_number, format_duration, format_number

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}\udcff\x00"


class Page(HTMLParser):
    """Tags, attributes and texts of a page, as a browser would find them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.texts.append(data)

    def count(self, tag: str) -> int:
        """How many of a tag there are."""
        return sum(each == tag for each, _ in self.tags)

    def attributes(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


def png(seed: int, side: int = 32) -> bytes:
    """A noise image."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, side, side), generator=generator, dtype=torch.uint8)
    return encode_png(image)


def cycle(number: int, **other: Any) -> dict[str, Any]:
    """A whole row of cycles.csv."""
    return {
        "cycle": number,
        "pool_left": 933 - 30 * number,
        "picked": 30 if number else 0,
        "train_size": 10 + 30 * number,
        "gamma_aes": 5.0 + number / 2,
        "gamma_con": 4.0 + number,
        "phi": 3.0 + number,
        "phi_ref": 4.0 + number,
        "lr_stage": 1 + number % 4,
        "fd_judge": 612.0 / (number + 1),
        "kid": 0.07 / (number + 1),
        "kid_low": 0.06 / (number + 1),
        "kid_high": 0.08 / (number + 1),
        "r_precision": 0.45 + number / 10,
        "r_precision_candidates": 10,
        "r_precision_chance": 0.1,
        "selection_precision": 0.96 if number else None,
        "seconds": 22.5 + number,
        "kid_train": 0.2 / (number + 1),
        "kid_kept": 0.3 / (number + 1) if number else None,
        **other,
    }


def report(name: str = "img_0001.jpg", text: str = "ankle boot", side: int = 32) -> RunReport:
    """A run of four cycles in which every text is ``text`` and every file is ``name``."""
    cycles = [cycle(number) for number in range(4)]
    cards = [Card(png(i, side), name, 9.1, 8.2, 11.3, i + 1) for i in range(3)]
    return RunReport(
        concept=text,
        cycles=cycles,
        title=text,
        placeholder_token=text,
        strategy=text,
        finished=text,
        kept_cycle=2,
        stop_reason=text,
        verdict=Verdict("doubtful", (text, text), {}),
        pool_inputs=1012,
        pool_accepted=945,
        curves=[
            [
                {"step": s, "loss": 0.1, "learning_rate": 1e-2, "stage": text, "phi": 5.0}
                for s in range(1, 20)
            ]
            for _ in cycles
        ],
        picked=[[], *([cards] * 3)],
        not_drawn=[[], *([cards] * 3)],
        held_back=[[], *([[replace(card, reason=text) for card in cards]] * 3)],
        candidates=[
            {},
            *({"picked": 3, "not_drawn": 100, "held_back": n} for n in (800, 770, 740)),
        ],
        samples=[[png(10 * c + i, side) for i in range(4)] for c in range(4)],
        start_samples=[png(90 + i, side) for i in range(4)],
        seeds=[png(80 + i, side) for i in range(2)],
        quarantine=[(text, 7, [name, name])],
        pool_report=name,
        config={text: {text: text}, "train": {"learning_rates": (0.01, 0.005)}},
        lineage={text: text},
        files={text: name, "cycles.csv": "cycles.csv"},
    )


def read(path: Path) -> str:
    """The text of a file."""
    return path.read_text(encoding="utf-8")


def test_every_cycle_and_image_appears(tmp_path: Path) -> None:
    """Each cycle has its row of numbers and of samples, its cards and its points in the charts."""
    html = read(write_report(report(), tmp_path / "report.html"))
    page = Page(html)
    assert page.attributes("data-name") == ["before training", *(f"cycle {c}" for c in range(4))]
    for number in range(4):
        assert f"cycle {number}: φ_ref {format_number(4.0 + number)}" in html
    shown = [html.index(f"<b>cycle {number}</b>") for number in (2, 1, 3)]
    assert shown == sorted(shown), "the kept cycle's images come first"
    for number in (1, 2, 3):
        assert f"3 picked · 100 passed, not drawn · {830 - 30 * number} did not pass" in html
    assert html.count("<small>ankle boot</small>") == 3 * 3  # why each was held back
    samples, mosaic, cards, seeds = 5 * 4, 4, 3 * 9, 2
    assert page.count("img") == samples + mosaic + cards + seeds
    assert page.count("figure") == cards + 5 + 3  # cards, charts over cycles, charts over steps
    assert "from 4.00" in html  # φ_ref of the headline: cycle 0 to the best
    assert "(−67%)" in html


def test_page_is_self_contained(tmp_path: Path) -> None:
    """Images are data URIs, links are relative, and nothing is fetched from anywhere."""
    html = read(write_report(report(), tmp_path / "report.html"))
    page = Page(html)
    assert all(source.startswith("data:image/webp;base64,") for source in page.attributes("src"))
    assert all(link.startswith("./") for link in page.attributes("href"))
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {t for t, _ in page.tags}
    assert not re.search(r"(https?:)?//[\w.-]+\.\w", re.sub(r"base64,[^\"]*", "", html))
    assert "@import" not in html
    assert "url(" not in html


def test_policy_admits_our_script_alone(tmp_path: Path) -> None:
    """The content security policy holds the hash of the one script on the page."""
    html = read(write_report(report(HOSTILE, HOSTILE), tmp_path / "report.html"))
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'"
    ) in html


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """Markup, quotes, template syntax and stray surrogates in any text add no tag or attribute."""
    plain = Page(read(write_report(report(), tmp_path / "plain.html")))
    html = read(write_report(report(HOSTILE, HOSTILE), tmp_path / "hostile.html"))
    hostile = Page(html)
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert [set(a) for _, a in hostile.tags] == [set(a) for _, a in plain.tags]
    assert not any(name.startswith("on") for _, a in hostile.tags for name in a)
    assert "<script>alert" not in html
    assert "{{ 7*7 }}" in html
    assert "&lt;script&gt;alert(1)" in html


@pytest.mark.parametrize("file", ["javascript:alert(1)", "data:text/html,x", "//evil.example/x"])
def test_links_cannot_name_a_scheme(tmp_path: Path, file: str) -> None:
    """Whatever a file is called, its link is a path below or above the page."""
    run = RunReport("boot", [cycle(0)], files={"x": file}, pool_report=file, pool_inputs=1)
    links = Page(read(write_report(run, tmp_path / "report.html"))).attributes("href")
    assert links
    assert all(link.startswith("./") and ":" not in link for link in links)


def test_broken_image_leaves_no_page(tmp_path: Path) -> None:
    """An image that cannot be decoded is an error, and nothing half-written stays."""
    run = RunReport("boot", [cycle(0)], seeds=[b"<svg onload=alert(1)>"])
    with pytest.raises(PoolError, match="cannot be read as an image"):
        write_report(run, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_empty_and_partial_runs_have_a_page(tmp_path: Path) -> None:
    """No cycle at all, missing columns and values that are not finite give a page, not an error."""
    assert "boot" in read(write_report(RunReport("boot", []), tmp_path / "none.html"))
    cycles = [{"cycle": 0}, cycle(1, fd_judge=math.nan, kid=math.inf, r_precision=None)]
    html = read(write_report(RunReport("boot", cycles), tmp_path / "some.html"))
    assert not {"nan", "inf", "None"} & {text.strip() for text in Page(html).texts}
    assert "–" in html


def test_same_run_same_page(tmp_path: Path) -> None:
    """The page depends on the run alone."""
    first = write_report(report(), tmp_path / "a.html").read_bytes()
    assert first == write_report(report(), tmp_path / "b.html").read_bytes()


def test_many_cards_are_cut_and_said(tmp_path: Path) -> None:
    """Of many images the first by rank are shown, and the page says of how many."""
    cards = [Card(png(0), f"p{rank}", rank=rank) for rank in range(40, 0, -1)]
    run = RunReport("boot", [cycle(0)], held_back=[cards], candidates=[{"held_back": 900}])
    html = read(write_report(run, tmp_path / "report.html", max_cards=12))
    assert "12 of 900" in html
    assert [alt for alt in Page(html).attributes("alt") if alt.startswith("p")] == [
        f"p{rank}" for rank in range(1, 13)
    ]


def test_large_images_are_scaled_down(tmp_path: Path) -> None:
    """Images of the size of Stable Diffusion's leave the page small."""
    path = write_report(report(side=512), tmp_path / "report.html")
    assert path.stat().st_size < 1_000_000


def test_csv_has_exactly_these_columns(tmp_path: Path) -> None:
    """The header is the documented one; missing values are empty cells; numbers keep all digits."""
    cycles = [cycle(0, extra="x", kid=None), cycle(1, gamma_aes=1 / 3), {"cycle": 2}]
    path = write_cycles_csv(cycles, tmp_path / "new" / "cycles.csv")
    names = [metric.name for metric in METRICS.values() if metric.cycle]
    assert read(path).splitlines()[0] == ",".join(
        [
            *("cycle", "pool_left", "picked", "train_size", "lr_stage", "image_steps", "seconds"),
            *("judge_seconds", "generated", "references", *names),
        ]
    )
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == CYCLE_COLUMNS
    assert rows[0]["kid"] == rows[0]["selection_precision"] == ""
    assert float(rows[1]["gamma_aes"]) == 1 / 3
    assert rows[1]["picked"] == "30"
    assert list(rows[2].values()) == ["2", *[""] * (len(CYCLE_COLUMNS) - 1)]
    assert [file.name for file in path.parent.iterdir()] == ["cycles.csv"]


def test_table_has_a_line_a_cycle_and_fits() -> None:
    """One line a cycle, 120 columns at most, nothing cut, the best one starred."""
    large = cycle(4, pool_left=9_999_999, train_size=10_000, fd_judge=999.9, seconds=98765.4)
    lines = cycles_table([*(cycle(n) for n in range(4)), large], kept_cycle=2).splitlines()
    assert max(len(line) for line in lines) <= 120
    assert not any("…" in line for line in lines)
    body = lines[-6:-1]
    assert [line.split()[0] for line in body] == ["0", "1", "2*", "3", "4"]
    assert "top1/10" in lines[1]
    assert "0.0233 [0.0200, 0.0267]" in body[2]
    assert "9,999,999" in body[4]


def test_table_of_missing_values() -> None:
    """Missing values are dashes."""
    assert cycles_table([{"cycle": 0}]).splitlines()[-1].count("–") == 5


@given(st.floats(-1e300, 1e300), st.integers(2, 6))
def test_numbers_keep_their_digits(number: float, digits: int) -> None:
    """A written number is the number, up to its last digit."""
    written = float(format_number(number, digits).replace(",", ""))
    assert written == pytest.approx(number, rel=0.51 * 10 ** (1 - digits), abs=1e-300)


def test_numbers_read_well() -> None:
    """Three digits that count, thousands with commas, a dash for nothing."""
    values = [0, 0.0, 9.996, 43.44, 612.3, 1069.2, 945, 1e6, 0.00482, 2.5e-5, None, math.nan, "x"]
    assert [format_number(value) for value in values] == [
        *("0", "0", "10.0", "43.4", "612", "1,069", "945", "1,000,000", "0.00482", "2.5e-5"),
        *("–", "–", "–"),
    ]
    assert [format_duration(s) for s in (0.25, 42.2, 185, 7800, None)] == [
        *("0.2 s", "42 s", "3 min 5 s", "2 h 10 min", "–"),
    ]
    assert as_number(True) is None


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12),
    st.booleans(),
)
def test_chart_points_lie_inside(values: list[float], logarithmic: bool) -> None:
    """Every point lies inside the axes, larger values higher, ticks around the values."""
    points = [(float(x), y, "point") for x, y in enumerate(values)]
    chart = line_chart("t", "s", [Line("l", "a", points)], logarithmic=logarithmic)
    assert chart is not None
    marks = chart.lines[0]["marks"]
    assert len(marks) == len(values)
    assert all(
        chart.left <= x <= chart.right and chart.top <= y <= chart.bottom for x, y, _ in marks
    )
    assert 2 <= len(chart.y_ticks) <= 16
    heights = [y for _, y, _ in marks]
    order = sorted(range(len(values)), key=values.__getitem__)
    assert [heights[i] for i in order] == sorted(heights, reverse=True)


@given(st.lists(st.sampled_from([None, 1.0, 5.0, 10.0]), min_size=1, max_size=9))
def test_no_metric_is_missing_from_the_charts(scales: list[float | None]) -> None:
    """However many there are of a scale, and whatever scales there are."""
    added = {
        f"m{i}": Metric(f"m{i}", f"m{i}", "made", "higher", 3, scale=scale)
        for i, scale in enumerate(scales)
    }
    row: dict[str, Any] = {"cycle": 0, **dict.fromkeys(added, 0.5)}
    with pytest.MonkeyPatch.context() as patch:
        for name, metric in added.items():
            patch.setitem(METRICS, name, metric)
        charts = score_charts([row], None)
    assert sorted(line["name"] for chart in charts for line in chart.lines) == sorted(added)


def test_chart_leaves_gaps() -> None:
    """A missing value interrupts the line instead of being drawn as zero."""
    points = [(0.0, 1.0, "a"), (1.0, None, ""), (2.0, 3.0, "b"), (3.0, 2.0, "c")]
    chart = line_chart("t", "s", [Line("l", "a", points)])
    assert chart is not None
    assert chart.lines[0]["path"].count("M") == 2
    assert line_chart("t", "s", [Line("l", "a", [(0.0, None, "")])]) is None


def test_long_curves_are_thinned() -> None:
    """Ten thousand steps become a few hundred points; the means keep the level."""
    curve = [{"step": s, "loss": 0.5, "learning_rate": 1e-3, "phi": None} for s in range(1, 10_001)]
    charts = step_charts([curve, curve], ["cycle 0", "cycle 1"])
    assert [chart.title for chart in charts] == ["Training loss", "Learning rate"]
    assert all(len(line["path"]) < 12_000 for chart in charts for line in chart.lines)
    assert charts[0].x_ticks[-1][1] == "20,000"


def test_every_reader_reads_the_table_of_metrics(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A metric that was added to it, FID and the authors' R-precision: terminal, CSV and page."""
    mine = Metric("mine", "my metric", "a new one", "higher", 2, headline=True)
    monkeypatch.setitem(METRICS, "mine", mine)
    record = CycleRecord(
        0, 0, 0, 10, 1, 0, 1.0, metrics={"mine": 0.25, "fid": 17.5, "r_precision_top200_1001": 0.75}
    )
    row = record.row()
    assert CycleRecord.of(row) == record
    table = cycles_table([row])
    assert "my" in table.splitlines()[0]
    assert all(value in table for value in ("0.25", "17.5", "0.750"))
    run = RunReport("boot", [row], samples=[[png(0)]])
    page = read(write_report(run, tmp_path / "report.html"))
    assert "<span>my metric</span><b>0.25</b>" in page  # a tile
    assert 'data-detail="FID 17.500 · my metric 0.25"' in page  # and the slider's line
    for text in ("my metric ↑", "FID ↓", "R-precision top200/1001 ↑", "17.5"):
        assert text in page
    text = read(write_cycles_csv([record.row()], tmp_path / "cycles.csv"))
    assert "fid" in text.splitlines()[0]
    assert "17.5" in text.splitlines()[1]
