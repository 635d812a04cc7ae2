"""Every file that a run reads has its bytes in the run's fingerprints."""

from __future__ import annotations

import warnings
from dataclasses import asdict, replace
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from zenml.steps import BaseStep
from zenml.utils import source_utils

from coti.settings import ConceptScoreSettings, RunSettings
from ops.retraining import INPUTS
from ops.tracking.lineage import fingerprints_of, tags_of, weights_of

# As after `coti stack up`; a fresh clone is no repository of ZenML's yet.
source_utils.set_custom_source_root(str(Path(__file__).resolve().parents[2]))
with warnings.catch_warnings():  # what ZenML imports uses a deprecated module
    warnings.simplefilter("ignore")
    from pipelines import concept, experiments
    from steps.embed_reference_judge import embed_reference_judge
    from steps.score_pool import score_pool

WEIGHTS = (
    "model.base_model",
    "token.initializer",
    "scorer.model",
    "concept_score.model",
    "aesthetic.head",
    "aesthetic.ratings",
    "aesthetic.user_ratings",
    "evaluation.judge",
    "evaluation.ssl_judge",
    *(f"baselines.{name}" for name in ("efficientnet", "lpips", "relic", "tanet", "sd_chad")),
)


def having(settings: Any, key: str, value: object) -> Any:
    """The settings with one key, by its dotted name, set to a value."""
    name, _, rest = key.partition(".")
    inner = having(getattr(settings, name), rest, value) if rest else value
    return replace(settings, **{name: inner})


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    """Each weights setting names a file of its own."""
    files = {key: tmp_path / key for key in (*WEIGHTS, "ground_truth")}
    for name in ("seeds", "pool", "references"):
        files[name] = tmp_path / name / "image.png"
        files[name].parent.mkdir()
    for path in files.values():
        path.write_bytes(b"one")
    named = {**files, **{name: tmp_path / name for name in ("seeds", "pool", "references")}}
    own = ConceptScoreSettings(encoder="open_clip", model="x")
    start = RunSettings(concept="boot", concept_score=own)
    return reduce(lambda run, each: having(run, each[0], str(each[1])), named.items(), start)


@pytest.mark.parametrize("key", [*WEIGHTS, "ground_truth", "seeds", "pool", "references"])
def test_a_files_bytes_are_in_the_fingerprints(
    settings: RunSettings, tmp_path: Path, key: str
) -> None:
    """Experiments and the main job see the same weights change; so does ``coti retrain``."""
    before, weights = fingerprints_of(settings), weights_of(settings)
    path = tmp_path / key
    (path / "image.png" if path.is_dir() else path).write_bytes(b"two")
    after = fingerprints_of(settings)
    changed = {name for name, value in asdict(after).items() if asdict(before)[name] != value}
    assert len(changed) == 1
    assert (weights_of(settings) != weights) == (key in WEIGHTS)
    tags = [tags_of(settings, prints) for prints in (before, after)]
    keys = {name: f"coti.{name}_hash" for name in INPUTS}
    assert {name for name, tag in keys.items() if tags[0][tag] != tags[1][tag]} == changed


def test_numbers_on_another_half_of_the_references_are_not_comparable(
    settings: RunSettings,
) -> None:
    """However many images each half has."""
    half = having(settings, "evaluation.references_half", "tables")
    before, after = fingerprints_of(settings), fingerprints_of(half)
    assert before.references != after.references
    assert replace(after, references=before.references) == before


def test_every_step_that_computes_does_so_on_the_settings_threads() -> None:
    """The narrowed settings that it is given have them, too; an experiment's run sets its own."""
    assert RunSettings(threads=3).only("seed").threads == 3
    steps = {
        step.name: step.entrypoint
        for step in (*concept.STEPS, *experiments.STEPS)
        if step.entrypoint.__annotations__.get("settings") == "RunSettings"
    }
    assert len(steps) > 10
    assert [name for name, step in steps.items() if not hasattr(step, "__wrapped__")] == [
        "run_experiment"
    ]


@pytest.mark.parametrize("step", [score_pool, embed_reference_judge])
def test_what_computes_on_a_baseline_has_its_weights_in_its_key(step: BaseStep) -> None:
    """ZenML's key covers a step's inputs, and no file behind a path."""
    assert "baselines_fingerprint" in step.entrypoint.__annotations__
