from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

from coti.core.errors import ConfigError
from coti.core.image_set import ImageSet
from coti.experiments.comparison import agreeing_concepts, compare
from coti.experiments.figures import draw_figures
from coti.experiments.result_rows import COLUMNS, FinishedRun, summarize
from coti.experiments.result_tables import write_csv, write_cycles_csv, write_markdown


def _finished(
    concept: str,
    strategy: str,
    fd: float,
    r: float,
    seed: int = 0,
    steps: int = 100,
    curve: tuple[float, ...] = (0.2, 0.9),
) -> FinishedRun:
    row = {
        "concept": concept,
        "strategy": strategy.lower(),
        "seed": seed,
        "fd_judge": fd,
        "fd_efficientnet": 2 * fd,
        "kid": 0.01,
        "kid_low": 0.005,
        "kid_high": 0.02,
        "r_precision": r,
        "r_precision_candidates": 10,
        "selection_precision": None,
        "image_steps": steps,
        "seconds": 12.5,
    }
    cycles = [
        {
            "cycle": cycle,
            "image_steps": 10 * (cycle + 1),
            "r_precision": value,
            "train_size": 10 + cycle,
            "gamma_aes": 5.0,
            "gamma_con": 6.0,
            "phi": 7.0,
        }
        for cycle, value in enumerate(curve)
    ]
    names = [f"{part}-{i:04d}" for part in ("c0", "c1", "final") for i in range(2)]
    images = ImageSet(names, torch.zeros(6, 3, 8, 8, dtype=torch.uint8))
    return FinishedRun(concept, strategy, seed, row, cycles, images, images)


@pytest.fixture
def runs() -> list[FinishedRun]:
    """Two concepts; COTI halves RAND's distance on one and quarters it on the other."""
    return [
        _finished("coat", "TI (RAND)", 4.0, 0.5),
        _finished("coat", "TI (FULL)", 3.0, 0.6),
        _finished("coat", "COTI", 2.0, 0.9),
        _finished("coat", "oracle", 1.0, 1.0),
        _finished("bag", "TI (RAND)", 8.0, 0.3),
        _finished("bag", "TI (FULL)", 5.0, 0.4),
        _finished("bag", "COTI", 2.0, 0.7, curve=(0.1, 0.2, 0.4)),
        _finished("bag", "oracle", 2.0, 0.9),
    ]


def test_the_ratios_are_of_means_over_concepts(runs: list[FinishedRun]) -> None:
    """RAND 6, FULL 4, COTI 2, oracle 1.5; R-precision 0.4, 0.5, 0.8, 0.95."""
    found = compare(runs)
    assert found.fd_of_random == pytest.approx(2 / 6)
    assert found.fd_of_full == pytest.approx(2 / 4)
    assert found.points_over_random == pytest.approx(40)
    assert found.points_over_full == pytest.approx(30)
    assert (found.better_concepts, found.concepts) == (2, 2)
    assert found.fd_gap_closed == pytest.approx(4 / 4.5)
    assert found.r_gap_closed == pytest.approx(0.4 / 0.55)


def test_steps_to_full_count_until_fulls_precision_is_reached(runs: list[FinishedRun]) -> None:
    """Coat reaches 0.6 after 20 of FULL's 100 image-steps, bag 0.4 after 30."""
    assert compare(runs).steps_to_full == pytest.approx((0.2 + 0.3) / 2)
    never = [_finished("coat", "COTI", 1, 0.1, curve=(0.1,)), runs[1]]
    assert math.isinf(compare(never).steps_to_full)


def test_two_distances_that_order_alike_agree(runs: list[FinishedRun]) -> None:
    """fd_efficientnet is twice fd_judge here; turned round, nothing agrees."""
    names = ("TI (RAND)", "TI (FULL)", "COTI")
    assert agreeing_concepts(runs, "fd_judge", "fd_efficientnet", names) == 2
    for run in runs:
        run.row["fd_efficientnet"] = -run.row["fd_judge"]
    assert agreeing_concepts(runs, "fd_judge", "fd_efficientnet", names) == 0


def test_a_summary_has_the_deviation_of_the_seeds() -> None:
    """Seeds 1 and 3: mean 2, sample deviation √2; one seed has none; none is not a number."""
    two = [_finished("coat", "COTI", 1.0, 0.5, 0), _finished("coat", "COTI", 3.0, 0.5, 1)]
    found = summarize(two, "COTI", "fd_judge")
    assert (found.mean, found.count) == (2.0, 2)
    assert found.std == pytest.approx(2**0.5)
    assert math.isnan(summarize(two[:1], "COTI", "fd_judge").std)
    assert math.isnan(summarize(two, "oracle", "fd_judge").mean)


def test_the_csv_has_exactly_the_columns_and_a_row_a_run(
    runs: list[FinishedRun], tmp_path: Path
) -> None:
    """The row's name in the table stands under strategy; what isn't defined is empty."""
    write_csv(runs, tmp_path / "table1.csv")
    with (tmp_path / "table1.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    first = dict(zip(COLUMNS, rows[1], strict=True))
    assert (first["concept"], first["strategy"], first["seed"]) == ("coat", "TI (RAND)", "0")
    assert (first["fd_judge"], first["fd_efficientnet"], first["kid"]) == ("4", "8", "0.01")
    assert (first["selection_precision"], first["image_steps"]) == ("", "100")
    assert len(rows) == 9


def test_the_page_puts_the_paper_beside_ours(runs: list[FinishedRun], tmp_path: Path) -> None:
    """Its ratio and ours in one line; a table for all and for each concept."""
    write_markdown(runs, tmp_path / "page.md", "Table 1", ["A fact."], ["a_b.png"], compared=True)
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| FD as a share of TI (RAND)'s | 0.709 | 0.333 | 0.333 | below 0.5 |" in text
    assert "| R-precision over TI (FULL), points | +18.4 | +30.0 |  | at least +20 |" in text
    assert "| better than both on | 8 of 8 | 2 of 2 | 2 of 2 | all |" in text
    assert "![Table 1: a b](a_b.png)" in text
    assert text.count("| TI (RAND) |") == 3
    assert "selection precision" not in text


def test_deviation_and_interval_are_written_out(tmp_path: Path) -> None:
    """1 and 3: 2 ± 1.414 (n - 1); KID's bounds are the means of the seeds' bounds; one seed has no
    deviation."""
    two = [_finished("coat", "COTI", 1.0, 0.5, 0), _finished("coat", "COTI", 3.0, 0.7, 1)]
    two[1].row.update(kid=0.03, kid_low=0.015, kid_high=0.05)
    write_markdown(two, tmp_path / "two.md", "T", [])
    text = (tmp_path / "two.md").read_text(encoding="utf-8")
    assert "## Mean over 1 concept, 2 seeds" in text
    assert "| COTI | 2.000 ± 1.414 | 4.000 ± 2.828 | 0.0200 ± 0.0141 [0.0100, 0.0350] | " in text
    assert "| 0.600 ± 0.141 |" in text
    write_markdown(two[:1], tmp_path / "one.md", "T", [])
    text = (tmp_path / "one.md").read_text(encoding="utf-8")
    assert "## Mean over 1 concept, 1 seed\n" in text
    assert "| COTI | 1.000 | 2.000 | 0.0100 [0.0050, 0.0200] | 0.500 | 100 | 12 |" in text


def test_the_values_of_curves_have_a_row_a_cycle(runs: list[FinishedRun], tmp_path: Path) -> None:
    """FinishedRun by run, in order; what a cycle lacks is empty."""
    write_cycles_csv(runs[5:7], tmp_path / "figure6_cycles.csv")
    with (tmp_path / "figure6_cycles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["strategy"], row["cycle"]) for row in rows] == [
        ("TI (FULL)", "0"), ("TI (FULL)", "1"), ("COTI", "0"), ("COTI", "1"), ("COTI", "2"),
    ]  # fmt: skip
    assert (rows[4]["concept"], rows[4]["train_size"], rows[4]["r_precision"]) == (
        "bag",
        "12",
        "0.4",
    )
    assert rows[4]["fd_judge"] == ""


def test_far_apart_distances_get_a_logarithmic_axis(
    runs: list[FinishedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one is ten times another; the image is another then, of the same size.

    R-precision is a share: its axis goes from 0 to 1, however low a row is.
    """
    scales: list[str] = []
    monkeypatch.setattr(Axes, "set_xscale", lambda self, scale: scales.append(scale))
    runs[0].row["r_precision"] = runs[4].row["r_precision"] = 0.01
    draw_figures("table1", runs, tmp_path)
    assert scales == []
    monkeypatch.undo()
    images = []
    for factor in (1.0, 30.0):
        runs[0].row["fd_judge"] = runs[4].row["fd_judge"] = 6.0 * factor
        draw_figures("table1", runs, tmp_path)
        with Image.open(tmp_path / "table1.png") as image:
            images.append(image.convert("RGB"))
    assert images[0].size == images[1].size
    assert images[0].tobytes() != images[1].tobytes()


@pytest.mark.parametrize(
    ("report", "files"),
    [
        ("table1", ["table1.png"]),
        ("figure3", ["figure3_coat.png", "figure3_bag.png"]),
        ("figure5", ["figure5.png"]),
        ("figure6", ["figure6.png"]),
    ],
)
def test_every_report_draws_its_images(
    runs: list[FinishedRun], tmp_path: Path, report: str, files: list[str]
) -> None:
    """The named PNG files are images."""
    assert draw_figures(report, runs, tmp_path) == files
    for name in files:
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 50


def test_figure_4_has_a_file_a_run(runs: list[FinishedRun], tmp_path: Path) -> None:
    """Its rows are the cycles."""
    assert draw_figures("figure4", runs[2:3], tmp_path) == ["figure4_coat_coti_0.png"]


def test_an_unknown_report_is_named(runs: list[FinishedRun], tmp_path: Path) -> None:
    """With those that there are."""
    with pytest.raises(ConfigError, match=r"'table3'.*table1"):
        draw_figures("table3", runs, tmp_path)
