"""The file of a grid over regimes: what it plans, what runs share, what is refused."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from coti.core.errors import ConfigError
from ops.grid_sweep import settings_of
from ops.regimes_file import GridConfig, GridRun, plan_of, planned_grid, read_grid_file
from ops.stack.locations import ROOT

FOLDER = ROOT / "configs" / "experiments"
MINI = FOLDER / "mini" / "regimes.yaml"


def _changed(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "grid.yaml"
    values = {"extends": "configs/experiments/mini/regimes.yaml", **changes}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(FOLDER.glob("regimes*.yaml")), ids=lambda p: p.stem)
def test_every_grid_can_be_planned(path: Path) -> None:
    """What is tuned on, concepts, pools and references alike, is in no table."""
    config = read_grid_file(path)
    develops = path.stem == "regimes_development"
    own = {"ankle boot", "coat"} if develops else {"trouser", "pullover", "dress"}
    assert own <= set(config.concepts)
    assert ({"ankle boot", "coat"} & set(config.concepts) != set()) == develops
    first = next(planned_grid(config))
    assert first.settings.evaluation.references_half == ("development" if develops else "tables")
    assert (first.pool.seed > 100) == develops


def test_the_whole_grid_is_as_large_as_its_file_says() -> None:
    """810 computations that train, and one schedule and one cap of image-steps for all rows."""
    grid = planned_grid(read_grid_file(FOLDER / "regimes.yaml"))
    trained = [*itertools.takewhile(lambda run: run.trained, grid)]
    assert len({run.place for run in trained}) == len(trained)
    assert len({settings_of(run) for run in trained}) == 810
    assert len({settings_of(run) for run in trained if run.seed == 0}) == 294
    assert {run.settings.image_step_cap for run in trained} == {3360}
    assert {run.settings.train for run in trained} == {trained[0].settings.train}
    assert not any(run.settings.schedule.dynamic for run in trained)
    asked = {run.concept: run.settings.asked_for for run in trained if run.regime == "unnamed"}
    assert asked["sneaker"] == "footwear"
    assert not set(asked) & set(asked.values())


def test_a_run_is_the_regimes_and_the_rows_own() -> None:
    """Trained first, then X_T alone, where it is known; every seed has a pool of its own."""
    config = read_grid_file(MINI).model_copy(update={"untrained_seeds": (0, 1)})
    runs = list(planned_grid(config))
    order = [run.trained for run in runs]
    assert order == sorted(order, reverse=True)
    assert Counter(run.row for run in runs if not run.trained).keys() == {
        "seeds alone",
        "TI (RAND)",
        "oracle",
    }
    assert {(run.seed, run.pool.seed) for run in runs} == {(0, 1), (1, 2)}
    assert {run.pool.clean for run in runs} == {0.1}
    assert {run.seeds.kind for run in runs if run.regime == "scarce"} == {"random"}
    plan = plan_of(config, len(runs))
    assert (plan.trained, plan.simple) == (("narrow and scarce",), ("TI (RAND)",))


def _one(config: GridConfig, regime: str, row: str, trained: bool = False) -> GridRun:
    return next(
        run
        for run in planned_grid(config)
        if (run.regime, run.row, run.trained) == (regime, row, trained)
    )


def test_regimes_share_what_is_the_same_in_them(tmp_path: Path) -> None:
    """The seeds alone don't know the pool's share nor the budget; random images do."""
    text = {"selection": {"batch": 2}, "baseline_images": 4}
    other = {"other": {"about": "x", "seeds": {"count": 4}, "run": text, "trained": False}}
    config = read_grid_file(_changed(tmp_path, regimes=other))
    for row, same in (("seeds alone", True), ("TI (RAND)", False)):
        first, second = (settings_of(_one(config, name, row)) for name in ("scarce", "other"))
        assert (first == second) == same, row
    seeds = (settings_of(_one(config, n, "seeds alone", t)) for n, t in (
        ("narrow and scarce", True), ("scarce", False)
    ))  # fmt: skip
    assert len(set(seeds)) == 2


def test_a_setting_that_is_off_computes_nothing_again(tmp_path: Path) -> None:
    """Said or not; one that is on does."""
    off = read_grid_file(_changed(tmp_path, run={"selection": {"suppress_duplicates": 0.0}}))
    on = read_grid_file(_changed(tmp_path, run={"selection": {"suppress_duplicates": 0.5}}))
    plain = settings_of(_one(read_grid_file(MINI), "scarce", "TI (RAND)"))
    assert settings_of(_one(off, "scarce", "TI (RAND)")) == plain
    assert settings_of(_one(on, "scarce", "TI (RAND)")) != plain


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": {"x": {"run": {"strategi": "coti"}}}}, "strategi"),
        ({"rows": {"x": {"run": {"strategy": "best"}}}}, "best"),
        ({"regimes": {"x": {"about": "x", "pool": {"clean": 2}}}}, "clean"),
        ({"regimes": {"x": {"about": "x", "run_by_concept": {"coat": {}}}}}, "lacks bag"),
        ({"claims": [{"says": "a", "kind": "better", "row": "mine", "against": ["COTI"]}]}, "mine"),
        (
            {"claims": [{"says": "a", "kind": "gap", "row": "COTI", "against": ["oracle"]}]},
            "between two rows",
        ),
        (
            {"claims": [{"says": "a", "kind": "not_worse", "row": "COTI", "against": ["oracle"],
                         "metrics": ["coverage"]}]},
            "distances alone",
        ),
        ({"claims": [{"says": "a", "kind": "better", "row": "COTI", "against": ["oracle"],
                      "regimes": ["scarce"]}]}, "no trained regime 'scarce'"),
        ({"claims": [{"says": "a", "kind": "better", "row": "COTI", "against": ["oracle"],
                      "metrics": ["beauty"]}]}, "no column 'beauty'"),
        ({"sedes": [1]}, "sedes"),
        ({"extends": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """In one sentence, with the file: before anything is computed."""
    path = _changed(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        read_grid_file(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
