from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from coti.core.errors import ConfigError
from coti.settings.presets import merged
from ops.experiment_file import check_experiment_file, planned_runs
from ops.experiment_pools import sources_of
from ops.stack.locations import ROOT

FOLDER = ROOT / "configs" / "experiments"
FILES = [
    path
    for path in sorted(FOLDER.glob("**/*.yaml"))
    if path.stem != "common" and not path.stem.startswith("regimes")
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_file_is_a_valid_experiment(path: Path) -> None:
    """Its runs can be planned and each row has its own name and settings."""
    config = check_experiment_file(path)
    runs = planned_runs(config)
    assert len(runs) == len(config.rows) * len(config.concepts) * len(config.seeds)
    assert len({(r.settings.concept, r.label, r.settings.seed) for r in runs}) == len(runs)
    assert len({r.settings for r in runs}) == len(runs)


def test_table_1_is_on_equal_terms() -> None:
    """Six concepts, six rows; one cap of image-steps, one rate and as many images for all."""
    runs = planned_runs(check_experiment_file(ROOT / "configs/experiments/table1.yaml"))
    assert len(runs) == 6 * 6
    assert {run.settings.image_step_cap for run in runs} == {6 * 35 * 16}
    assert {run.settings.train for run in runs} == {runs[0].settings.train}
    assert {run.settings.baseline_images for run in runs} == {
        r.settings.selection.batch * r.settings.controller.max_cycles for r in runs
    }


def test_experiments_share_their_runs() -> None:
    """Figure 3's and 4's runs are Table 1's: computed once."""
    names = ("table1", "figure3", "figure4")
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
        assert other <= table


def test_table_2_keeps_the_rows_apart(tmp_path: Path) -> None:
    """A row has its score's name; rows that would share it keep their own."""
    path = tmp_path / "two.yaml"
    rows = {
        "a": {"strategy": "vlad"},
        "b": {"strategy": "coti"},
        "c": {"strategy": "coti", "selection": {"spread": 1.0}},
        "clean": {"strategy": "oracle"},
    }
    values = {"name": "n", "title": "t", "report": "table2", "concepts": ["bag"], "rows": rows}
    path.write_text(yaml.safe_dump({"parameters": {"config": values}}), encoding="utf-8")
    runs = planned_runs(check_experiment_file(path))
    assert [run.label for run in runs] == ["VLAD", "b", "c", "oracle"]


def test_a_row_differs_by_what_it_names_alone() -> None:
    """Nested mappings are merged key by key."""
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}) == {"a": {"b": 1, "c": 3}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rows: {x: {strategi: coti}}", "strategi"),
        ("rows: {x: {strategy: oracle, growth: cycles}}", "growth"),
        ("rows: {x: {strategy: best}}", "best"),
        ("rows: {x: {model: {base_model: other}}}", "model is the same for all rows"),
        ("rows: {x: {preset: sd15}}", "preset is the same for all rows"),
        ("rows: {x: {}}, run: {model: {base_model: other}}", "scorer.model, aesthetic.head, "),
        ("rows: {x: {selection: {batch: 0}}}", "batch"),
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
