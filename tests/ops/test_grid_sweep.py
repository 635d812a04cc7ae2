"""What of a grid is computed, and what is taken from its CSV."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from assets.build import world
from coti.experiments.regime_rows import RegimeRun, read_runs, write_runs
from coti.settings import RunSettings
from ops import grid_sweep
from ops.grid_sweep import Sweep, code_of, settings_of
from ops.regimes_file import GridConfig, planned_grid, read_grid_file
from ops.stack.locations import ROOT

MINI = ROOT / "configs" / "experiments" / "mini" / "regimes.yaml"


@pytest.fixture
def config(tmp_path: Path) -> GridConfig:
    """The miniature grid, its results in a folder of its own."""
    return read_grid_file(MINI).model_copy(update={"results": str(tmp_path)})


def _done(config: GridConfig, **changes: str) -> list[RegimeRun]:
    """A row for each run of the plan, as if computed."""
    return [
        RegimeRun(
            *run.place, run.pool.seed, run.trained, {"fd_judge": 1.0},
            changes.get("settings", settings_of(run)), changes.get("code", code_of(run.settings)),
        )
        for run in planned_grid(config)
    ]  # fmt: skip


def test_what_the_csv_has_is_not_computed_again(config: GridConfig, tmp_path: Path) -> None:
    """Unless it is wished; rows of other code are done if that is wished, of others never."""
    runs = _done(config)
    write_runs(tmp_path / "regimes.csv", runs[1:])
    sweep = Sweep(config)
    assert [job.runs[0].place for job in sweep.jobs] == [runs[0].place]
    assert sweep.runs == runs[1:]
    assert len(Sweep(config, again=True).jobs) == len(runs)
    write_runs(tmp_path / "regimes.csv", _done(config, code="older"))
    assert len(Sweep(config).jobs) == len(runs)
    kept = Sweep(config, any_code=True)
    assert not kept.jobs
    assert {run.code for run in kept.runs} == {"older"}
    write_runs(tmp_path / "regimes.csv", _done(config, settings="others"))
    assert len(Sweep(config, any_code=True).jobs) == len(runs)


def test_only_what_is_wanted_is_computed(config: GridConfig) -> None:
    """The rest stays to be computed another time."""
    sweep = Sweep(config, wanted=lambda run: run.row == "oracle")
    assert [(job.runs[0].row, job.runs[0].trained) for job in sweep.jobs] == [
        ("oracle", True),
        ("oracle", False),
    ]


def test_rows_stay_until_the_grid_is_whole(config: GridConfig, tmp_path: Path) -> None:
    """What was computed for a row that has another name by now is found; then it goes."""
    runs = _done(config)
    before = [replace(run, row="ceiling") if run.row == "oracle" else run for run in runs[1:]]
    write_runs(tmp_path / "regimes.csv", [*before, replace(runs[1], row="gone", settings="x")])
    sweep = Sweep(config)
    sweep.write()
    assert {run.row for run in read_runs(sweep.path)} >= {"gone", "ceiling", "oracle"}
    write_runs(tmp_path / "regimes.csv", [*before, replace(runs[1], row="gone"), runs[0]])
    whole = Sweep(config)
    whole.write()
    assert read_runs(whole.path) == runs


def test_an_edit_of_a_strategy_is_one_of_its_own_rows() -> None:
    """The trainer, metrics, pools are all rows'; the page, the table of metrics nobody's."""
    shared, oracle = grid_sweep._shared(), grid_sweep._own("oracle")
    selection = ROOT / "coti" / "selection"
    assert {selection / "oracle.py", selection / "random_images.py"} <= oracle
    assert not {selection / "oracle.py", selection / "intelligent.py"} & shared
    for name in ("inversion/trainer.py", "metrics/frechet.py", "scores/aesthetic.py"):
        assert ROOT / "coti" / name in shared
    for name in ("experiments/regimes_page.py", "metrics/table.py", "settings/run.py"):
        assert ROOT / "coti" / name not in shared | oracle
    assert ROOT / "assets" / "build" / "make_pool.py" in shared
    codes = {code_of(RunSettings(strategy=name)) for name in ("none", "coti", "oracle", "random")}
    assert len(codes) == 4


def test_pools_of_another_builder_are_not_taken(
    config: GridConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are those of an experiment, which has a folder of the same name for its own."""

    def place() -> Path:
        return Sweep(config)._data.folder

    before = place()
    assert before.parent == ROOT / config.pools.folder
    assert place() == before
    edited = tmp_path / "make_pool.py"
    edited.write_text("SIDE = 31\n", encoding="utf-8")
    kept = grid_sweep.meaning_of
    monkeypatch.setattr(grid_sweep, "meaning_of", lambda paths: kept(paths) + edited.read_bytes())
    assert place() != before


@pytest.mark.slow
@pytest.mark.skipif(
    not (Path(os.environ.get(world.FOLDER_VARIABLE, world.DEBIAN_FOLDER))).is_dir(),
    reason="Fashion-MNIST is not here",
)
def test_the_miniature_runs_and_goes_on(tmp_path: Path) -> None:
    """Real models, by the command: after no minutes nothing is there, then all is."""
    file = tmp_path / "grid.yaml"
    values = {
        "extends": "configs/experiments/mini/regimes.yaml",
        "results": str(tmp_path),
        "pools": {"folder": str(tmp_path / "pools")},
    }
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    config = read_grid_file(file)
    assert not list(Sweep(config).compute(seconds=0))
    done = subprocess.run(
        [sys.executable, "-m", "coti.commands.main", "regimes", str(file)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "8 runs, 0 done; to compute: 5 trained and 3 of X_T alone" in done.stdout
    assert "8 of 8 runs are done" in done.stdout
    runs = {(run.regime, run.row): run for run in read_runs(tmp_path / "regimes.csv")}
    assert runs["narrow and scarce", "oracle"].values["selection_precision"] == 1.0
    assert runs["narrow and scarce", "COTI"].values["image_steps"] == 8
    for row in ("no TI", "seeds alone", "TI (RAND)", "COTI", "oracle"):
        assert {"fd_ssl", "coverage", "r_precision"} <= set(runs["narrow and scarce", row].values)
    alone = runs["scarce", "TI (RAND)"].values
    assert {"xt_fd_ssl", "xt_coverage", "selection_precision"} <= set(alone)
    assert "fd_ssl" not in alone
    assert runs["scarce", "TI (RAND)"].values["images"] == 8
    page = (tmp_path / "regimes.md").read_text(encoding="utf-8")
    for said in ("All 8 runs of the plan are done", "### narrow and scarce", "| oracle | 1 |"):
        assert said in page
    assert not Sweep(config).jobs
