"""A run of Stable Diffusion 1.5 rehearsed without weights or images, at a tenth of the width."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from coti.settings.changes import changed_run_file
from coti.settings.from_yaml import read_run_file, read_yaml
from ops.rehearsal.checks import check_inputs
from ops.rehearsal.estimate import estimate
from ops.rehearsal.measured import Measured
from ops.rehearsal.settings_json import settings_json
from ops.rehearsal.stand_ins import with_random_weights
from ops.rehearsal.units import units
from tests.e2e.conftest import ROOT, Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BUNDLED = (
    *("scorer.model=assets/models/scorer", "scorer.pretrained=null", "concept_score.model=null"),
    *("concept_score.encoder=scorer", "concept_score.pretrained=null", "concept_score.sha256=null"),
    *("aesthetic.head=assets/models/aesthetic/aesthetic_head.safetensors",),
    *("evaluation.judge=assets/models/judge", "evaluation.judge_pretrained=null"),
    *("evaluation.ssl_judge=assets/models/ssl_judge", "evaluation.ssl_judge_pretrained=null"),
    *("evaluation.inception=null", "train.batch_size=2", "generation.batch_size=2"),
    *("generation.guidance_scale=1.0", "evaluation.authors_r_precision=false"),
)
"""The real scorers are tested by themselves; each takes half a minute to make."""


def test_every_step_of_a_run_is_rehearsed_and_the_whole_follows(
    workspace: Workspace, tmp_path: Path
) -> None:
    """What the process that rehearses writes down: each step that the settings come to, with its
    time, memory and bytes, twice."""
    path = ROOT / "configs" / "sd15.yaml"
    content = changed_run_file(read_yaml(path), BUNDLED, str(path))
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    given = read_run_file(tmp_path / "run.yaml")
    found = with_random_weights(given, tmp_path / "random", divisor=10)
    assert found.settings.model.base_model == str(tmp_path / "random" / "base")
    assert found.settings.scorer == given.scorer  # which is here
    assert set(found.taken) == {"seeds", "pool", "references"}
    checked = check_inputs(found.settings)
    assert checked.problems == []
    whole = found.whole(checked.sizes)
    assert (whole.inputs, whole.references, checked.sizes.inputs) == (1_000, 2_048, 64)
    order = {
        "settings": settings_json(found.settings),
        "there": asdict(checked.sizes),
        "whole": asdict(whole),
        "seconds": 0.3,
    }
    words = ("python", "-m", "cli.rehearse_once")
    done = workspace.command(*words, str(tmp_path / "answer.json"), stdin=json.dumps(order))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    answer = json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))
    assert "error" not in answer, answer
    measured = Measured.of(answer)
    for run in measured.runs:
        planned = [each.step for each in units(run.settings, run.sizes)]
        assert sorted(step.name for step in run.steps) == sorted(planned)
        assert all(step.seconds > 0 and step.peak > 0 for step in run.steps)
    total = estimate(found.settings, whole, measured)
    seconds = {row.step: row.seconds for row in total.steps}
    assert seconds["train_cycle"].expected > 0.5 * total.seconds.expected
    assert seconds["train_cycle"].low < seconds["train_cycle"].expected  # φ may end it earlier
    assert total.peak > 500 << 20
    assert measured.device["resolution"] == 64
