"""A run's name and tags by its concept and seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from coti.settings import RunSettings
from ops.run_name import default_run_name, named, run_tags
from ops.stack.locations import run_folder
from pipelines.concept import coti_concept

SETTINGS = RunSettings(concept="ankle boot", seeds="s", pool="p", seed=7)


@pytest.mark.parametrize("name", [None, "mine-{date}"])
def test_a_run_is_named_by_concept_and_seed_unless_its_file_names_it(
    name: str | None, tmp_path: Path
) -> None:
    """As ZenML's command goes on with it: its tags and the file's are the run's."""
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"tags": ["mine"]} | ({"run_name": name} if name else {})))
    pipeline = named(coti_concept, SETTINGS, path).with_options(config_path=str(path))
    expected = None if name else "ankle-boot-seed-7-{date}-{time}"
    assert pipeline._run_args.get("run_name") == expected
    assert pipeline.configuration.tags == ["concept=ankle-boot", "seed=7", "mine"]
    assert not coti_concept.configuration.tags


def test_without_a_file_it_is_the_quickstarts() -> None:
    """`zenml pipeline run coti_concept`, as it stands in the README."""
    assert named(coti_concept, None, None).configuration.tags == ["concept=ankle-boot", "seed=0"]


@pytest.mark.parametrize("concept", ["ü/../{date}", "a" * 200, "{time}", "Chick!"])
def test_any_concept_makes_a_name_that_a_folder_takes(concept: str) -> None:
    """No brace but ZenML's own, no path, not too long; a tag fits ZenML's 255 letters."""
    settings = RunSettings(concept=concept, seeds="s", pool="p", seed=-3)
    name = default_run_name(settings).format(date="2026_01_01", time="00_00_00_000000")
    assert run_folder("outputs", name).name == name
    assert all(len(tag) < 255 for tag in run_tags(settings))
