from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from coti.core.errors import ConfigError
from coti.experiments.time_estimate import work_of
from coti.settings.run_file import merged, parse_settings
from ops.experiment_file import ExperimentConfig, check_experiment_file, planned_runs
from ops.experiment_pools import sources_of
from ops.stack.locations import ROOT

FOLDER = ROOT / "configs" / "experiments"
FILES = [path for path in sorted(FOLDER.glob("**/*.yaml")) if path.stem != "common"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_file_is_a_valid_experiment(path: Path) -> None:
    """Its runs can be planned and each row has its own name and settings."""
    config = check_experiment_file(path)
    runs = planned_runs(config)
    assert len(runs) == len(config.rows) * len(config.concepts) * len(config.seeds)
    assert len({(r.settings.concept, r.label, r.settings.seed) for r in runs}) == len(runs)
    assert len({run.settings for run in runs}) == len(runs)


def test_table_1_is_the_issues() -> None:
    """Eight concepts, six rows, three seeds; one cap of image-steps for all that train."""
    runs = planned_runs(check_experiment_file(ROOT / "configs/experiments/table1.yaml"))
    assert len(runs) == 8 * 6 * 3
    assert {run.settings.image_step_cap for run in runs} == {6 * 100 * 16}
    assert {work_of(run.settings).image_steps for run in runs} == {0, 6 * 100 * 16}
    assert max(r.settings.selection.batch * r.settings.controller.max_cycles for r in runs) == 200
    random = next(run.settings for run in runs if run.label == "TI (RAND)")
    assert random.baseline_images == 200


def test_experiments_share_their_runs() -> None:
    """Figure 3's and 4's runs are Table 1's, and so is the one seed of it: computed once."""
    names = ("table1", "table1_seed0", "figure3", "figure4")
    table, *others = (
        {
            run.settings
            for run in planned_runs(
                check_experiment_file(ROOT / f"configs/experiments/{name}.yaml")
            )
        }
        for name in names
    )
    for other in others:
        assert other < table


def test_table_2_keeps_the_rows_apart(tmp_path: Path) -> None:
    """A row has its strategy's name; rows that would share it, or train nothing, keep theirs."""
    path = tmp_path / "two.yaml"
    rows = {
        "a": {"strategy": "vlad"},
        "b": {"strategy": "coti"},
        "c": {"strategy": "coti", "selection": {"spread": 1.0}},
        "clean": {"strategy": "oracle"},
        "d": {"strategy": "none"},
    }
    values = {"name": "n", "title": "t", "report": "table2", "concepts": ["bag"], "rows": rows}
    path.write_text(yaml.safe_dump({"parameters": {"config": values}}), encoding="utf-8")
    runs = planned_runs(check_experiment_file(path))
    assert [run.label for run in runs] == ["VLAD", "b", "c", "oracle", "d"]


def test_a_row_is_an_overlay_of_the_main_jobs_settings(tmp_path: Path) -> None:
    """What neither ``run`` nor the row names has the default that a run file has."""
    path = tmp_path / "one.yaml"
    values = {
        "name": "n",
        "title": "t",
        "report": "ablations",
        "concepts": ["bag"],
        "run": {"train": {"max_steps": 7, "batch_size": 2}},
        "rows": {"short": {"train": {"max_steps": 3}}},
    }
    path.write_text(yaml.safe_dump({"parameters": {"config": values}}), encoding="utf-8")
    (run,) = planned_runs(check_experiment_file(path))
    train = {"max_steps": 3, "batch_size": 2}
    assert run.settings == parse_settings({"concept": "bag", "train": train}, "run.yaml")


def test_a_row_differs_by_what_it_names_alone(tmp_path: Path) -> None:
    """Nested mappings are merged key by key; rows are taken whole."""
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}) == {"a": {"b": 1, "c": 3}}
    shared = tmp_path / "shared.yaml"
    shared.write_text(yaml.safe_dump({"run": {"seed": 0, "threads": 2}, "rows": {"x": {}}}))
    own = {"extends": str(shared), "name": "n", "title": "t", "report": "table1"}
    config = ExperimentConfig.model_validate(
        {**own, "concepts": ["bag"], "run": {"threads": 1}, "rows": {"y": {}}}
    )
    assert (config.run, config.rows) == ({"seed": 0, "threads": 1}, {"y": {}})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rows: {x: {strategi: coti}}", "strategi"),
        ("rows: {x: {strategy: oracle, growth: cycles}}", "growth to at_once"),
        ("rows: {x: {selection: {batch: 0}}}", "batch"),
        ("rows: {x: {model: {dtype: float32}}}", "set it under run"),
        ("rows: {x: {}}, run: {sead: 1}", "sead"),
        ("rows: {x: {}}, cell: {}", "cell"),
        ("rows: {x: {}}, paralel: 2", "paralel"),
        ("rows: {x: {}}, extends: nowhere.yaml", "nowhere.yaml"),
        ("rows: {x: {}}, report: table3", "report"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, text: str, named: str) -> None:
    """In one sentence, with the file."""
    path = tmp_path / "run.yaml"
    report = "" if "report" in text else ", report: table1"
    path.write_text(
        f"parameters: {{config: {{name: n, title: t, concepts: [coat], {text}{report}}}}}",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        check_experiment_file(path)
    assert str(path) in str(caught.value)
    assert named in str(caught.value)


def test_given_pools_stay_where_they_are() -> None:
    """A concept with data of its own needs no world."""
    config = check_experiment_file(ROOT / "configs/experiments/mini/table1.yaml")
    assert sources_of(config)["ankle boot"].pool == "assets/pools/ankle_boot/pool"


def test_a_concept_that_the_world_lacks_is_named() -> None:
    """With those it has."""
    config = check_experiment_file(ROOT / "configs/experiments/table1.yaml")
    with pytest.raises(ConfigError, match="no concept 'penguin'"):
        sources_of(config.model_copy(update={"concepts": ("penguin",)}))
