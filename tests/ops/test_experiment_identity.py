"""A run's identity, and what runs share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coti.settings import ControllerSettings, RunSettings
from ops.experiment_file import ConceptSource, PlannedRun
from ops.experiment_identity import (
    ConceptIdentity,
    Shared,
    encoding_settings,
    judging_settings,
    reference_judging_settings,
)

SETTINGS = RunSettings(concept="boot")


@pytest.fixture
def source(tmp_path: Path) -> ConceptSource:
    """Folders of one file each, and a ground truth."""
    for name in ("seeds", "pool", "references"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.png").write_bytes(b"one")
    (tmp_path / "ground_truth.csv").write_bytes(b"one")
    places = {name: str(tmp_path / name) for name in ("seeds", "pool", "references")}
    return ConceptSource(concept="boot", ground_truth=str(tmp_path / "ground_truth.csv"), **places)


def key(source: ConceptSource, settings: RunSettings = SETTINGS, label: str = "COTI") -> str:
    """Of a run, with the hashes of what is there now."""
    run = PlannedRun(label=label, settings=settings)
    return ConceptIdentity.of(source, settings.pool_rules).key(run)


@pytest.mark.parametrize(
    "name", ["seeds/image.png", "pool/image.png", "references/image.png", "ground_truth.csv"]
)
def test_every_input_counts(name: str, source: ConceptSource, tmp_path: Path) -> None:
    """One byte of any of them is another run."""
    before = key(source)
    assert key(source) == before
    (tmp_path / name).write_bytes(b"two")
    assert key(source) != before


def test_what_can_change_a_result_counts(source: ConceptSource) -> None:
    """Seed and row do; where the outputs go does not."""
    before = key(source)
    assert key(source, replace(SETTINGS, seed=1)) != before
    assert key(source, label="RAND") != before
    assert key(source, replace(SETTINGS, output="elsewhere")) == before


def test_what_is_shared_is_made_once() -> None:
    """For each name and settings."""
    shared, made = Shared(), list[int]()

    def make() -> int:
        made.append(len(made))
        return made[-1]

    other = replace(SETTINGS, seed=1)
    asked = [("a", SETTINGS), ("a", SETTINGS), ("b", SETTINGS), ("a", other), ("b", SETTINGS)]
    assert [shared(what, settings, make) for what, settings in asked] == [0, 0, 1, 2, 1]


def test_runs_of_other_seeds_and_schedules_share_all(source: ConceptSource) -> None:
    """Features and references depend on neither; on the half of the references, the judges do."""
    other = replace(SETTINGS, seed=1, controller=ControllerSettings(max_cycles=1))
    assert encoding_settings(other) == encoding_settings(SETTINGS)
    assert judging_settings(other, source) == judging_settings(SETTINGS, source)
    half = replace(SETTINGS, evaluation=replace(SETTINGS.evaluation, references_half="tables"))
    for of in (judging_settings, reference_judging_settings):
        assert of(half, source) != of(SETTINGS, source)
    assert encoding_settings(half) == encoding_settings(SETTINGS)
