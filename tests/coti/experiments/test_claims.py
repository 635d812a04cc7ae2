"""Claims and their page, on runs whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coti.core.errors import ConfigError
from coti.experiments.claims import BEST_SIMPLE, EVERY, Claim, best_simple, gains, judged
from coti.experiments.paired import estimate
from coti.experiments.regime_rows import COLUMNS, RegimeRun, read_runs, values_of, write_runs
from coti.experiments.regimes_page import GridPlan, write_grid_page

CONCEPTS = ("bag", "coat", "dress", "sandal", "shirt", "sneaker")
DISTANCES = {"seeds": 4.0, "text": 1.1, "nearest": 2.0, "COTI": 1.0, "oracle": 0.5}
SIMPLE = ("text", "nearest")


def _runs(noise: float = 0.02, **changes: float) -> list[RegimeRun]:
    """Six concepts, three seeds, two regimes; concepts differ by far more than rows do by chance.
    In ``narrow`` text and nearest have changed places."""
    rng = np.random.default_rng(0)
    runs = []
    for regime in ("random", "narrow"):
        for concept in CONCEPTS:
            scale = math.exp(rng.normal())
            for seed in range(3):
                for row, distance in (DISTANCES | changes).items():
                    named = {"text": "nearest", "nearest": "text"}.get(row, row)
                    fd = scale * distance * math.exp(noise * rng.normal())
                    values = {
                        "fd_ssl": fd,
                        "r_precision": 1 / (1 + distance),
                        "image_steps": 9600.0,
                    }
                    runs.append(
                        RegimeRun(concept, regime, named if regime == "narrow" else row, seed,
                                  seed + 1, True, values, "s", "c")
                    )  # fmt: skip
    return runs


BETTER = Claim("COTI beats the seeds.", "better", "COTI", ("seeds",), ("fd_ssl", "r_precision"))
NOT_WORSE = Claim("COTI is not worse.", "not_worse", "COTI", (BEST_SIMPLE,), margin=0.1)
MEAN = Claim("COTI is better on the mean.", "better_on_mean", "COTI", (BEST_SIMPLE,))
GAP = Claim("COTI closes the gap.", "gap", "COTI", ("seeds", "oracle"), share=0.85)
CLAIMS = (BETTER, NOT_WORSE, MEAN, GAP)


def test_distances_are_compared_by_their_ratio() -> None:
    """However far apart concepts lie; shares and the like by their difference, better is more."""
    runs = _runs(noise=0.0)
    found = estimate(gains(runs, "random", "COTI", "seeds", "fd_ssl"))
    assert found.value == pytest.approx(math.log(4))
    assert found.error == pytest.approx(0, abs=1e-9)
    assert estimate(gains(runs, "random", "COTI", "seeds", "r_precision")).value == pytest.approx(
        0.5 - 0.2
    )
    assert set(gains(runs, "random", "COTI", "gone", "fd_ssl")) == set()


def test_true_claims_hold_and_the_best_simple_row_is_each_regimes_own() -> None:
    """By a tenth better than the best simple row, four fifths and more of the gap."""
    runs = _runs()
    assert best_simple(runs, "random", SIMPLE, "fd_ssl") == "text"
    assert best_simple(runs, "narrow", SIMPLE, "fd_ssl") == "nearest"
    found = judged(CLAIMS, runs, ("random", "narrow"), SIMPLE)
    assert [(v.regime, v.against) for v in found] == [
        *(("random", "seeds"), ("narrow", "seeds")) * 2,
        ("random", "text"),
        ("narrow", "nearest"),
        (EVERY, BEST_SIMPLE),
        (EVERY, "seeds to oracle"),
    ]
    assert [v.holds for v in found] == [True] * 8
    assert found[-1].found.value == pytest.approx(3 / 3.5, abs=0.02)
    assert all(v.corrected >= v.p for v in found[:-1])


def test_what_is_not_true_does_not_hold() -> None:
    """A quarter worse than the best simple row; nor does a true loss of a twentieth exclude one
    of a tenth where chance is large."""
    worse = judged(CLAIMS, _runs(COTI=1.4), ("random", "narrow"), SIMPLE)
    assert [v.holds for v in worse] == [True] * 4 + [False] * 4
    near = judged((NOT_WORSE,), _runs(COTI=1.15, noise=0.02), ("random",), SIMPLE)
    unsure = judged((NOT_WORSE,), _runs(COTI=1.15, noise=0.5), ("random",), SIMPLE)
    assert (near[0].holds, unsure[0].holds) == (True, False)
    wrong = replace(BETTER, row="seeds", against=("COTI",))
    assert not any(v.holds for v in judged((wrong,), _runs(), ("random",), SIMPLE))


def test_what_is_not_run_yet_is_not_judged() -> None:
    """A claim without pairs says nothing, and still counts in the correction of the others."""
    runs = [run for run in _runs() if (run.regime, run.row) != ("narrow", "seeds")]
    found = judged((BETTER,), runs, ("random", "narrow"), SIMPLE)
    assert [v.holds for v in found] == [True, None, True, None]
    assert found[0].corrected >= 3 * found[0].p
    assert judged((GAP,), [], ("random",), SIMPLE)[0].holds is None
    assert best_simple([], "random", SIMPLE, "fd_ssl") is None


def test_the_csv_keeps_a_run(tmp_path: Path) -> None:
    """As it was, to six digits; what is not measured is empty; something else is refused."""
    path = tmp_path / "regimes.csv"
    assert read_runs(path) == []
    runs = [replace(run, values={"fd_ssl": 0.123456}) for run in _runs()[:3]]
    write_runs(path, [*runs, replace(runs[0], trained=False, values={"fd_ssl": math.nan})])
    assert read_runs(path) == [*runs, replace(runs[0], trained=False, values={})]
    assert path.read_text(encoding="utf-8").splitlines()[0] == ",".join(COLUMNS)
    assert values_of(read_runs(path), "random", "text", "fd_ssl") == {("bag", 0): 0.123456}
    path.write_text("name,age\nx,1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds no runs of a grid"):
        read_runs(path)


def test_a_reader_can_check_the_page(tmp_path: Path) -> None:
    """Tables with intervals, claims with what corrected p says of them, what could be found."""
    runs = _runs(COTI=1.15, noise=0.3)
    alone = [replace(run, regime="other", trained=False, values={"xt_coverage": 0.5, "images": 9})
             for run in runs if run.regime == "random"]  # fmt: skip
    plan = GridPlan(
        title="Regimes",
        regimes={"random": "Ten at random.", "narrow": "Of one look.", "other": "X_T alone."},
        trained=("random", "narrow"),
        rows=tuple(DISTANCES),
        simple=SIMPLE,
        claims=CLAIMS,
        runs=len(runs) + len(alone) + 1,
    )
    write_grid_page(plan, [*runs, *alone], tmp_path / "regimes.md", ["How it was measured."])
    page = (tmp_path / "regimes.md").read_text(encoding="utf-8")
    for said in (
        "**270 of 271 runs are done: what is below may change.**",
        "How it was measured.",
        "**COTI beats the seeds.** 4 of 4 tests hold.",
        "for all 7 tests",
        "### other, X_T",
        "| COTI | 18 | 0.500",
        "% closed [",
    ):
        assert said in page, said
    row = next(line for line in page.splitlines() if line.startswith("| random | seeds | fd_ssl"))
    assert row.count("×") == 3
    assert row.endswith("yes |")
    with Image.open(tmp_path / "regimes.png") as figure:
        assert figure.width > 300
    mixed = [replace(runs[0], code="older"), *runs[1:]]
    write_grid_page(plan, mixed, tmp_path / "regimes.md", [])
    assert "other code or models than the rest" in (tmp_path / "regimes.md").read_text("utf-8")
