"""Nothing that steers can receive the judge's numbers: over the whole graph, not over one call."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.k8s.capture import ROOT

pytestmark = pytest.mark.slow

STEERS = (
    "finetune_aesthetic_scorer",
    "fit_concept_scorer",
    "score_pool",
    "select_batch",
    "train_cycle",
    "score_generations",
    "control_loop",
)
JUDGES = ("judge_cycle", "embed_references")
WATCHES = ("track_cycle", "register_embedding", "write_outputs")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The compiled static twin: each invocation's upstream ones, by artifact or by order."""
    folder = tmp_path_factory.mktemp("kubeflow")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.k8s.capture", "kubeflow", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    found: dict[str, list[str]] = json.loads(Path(folder / "upstream.json").read_text())
    return found


def step_of(invocation: str) -> str:
    """``train_cycle_2`` is one of ``train_cycle``."""
    return re.sub(r"_\d+$", "", invocation)


def test_no_step_that_steers_has_the_judge_among_its_ancestors(
    upstream: dict[str, list[str]],
) -> None:
    """In any cycle, through any number of steps; those that only watch do."""

    @cache
    def ancestors(invocation: str) -> frozenset[str]:
        return frozenset().union(*({each} | ancestors(each) for each in upstream[invocation]))

    steps = {step_of(each) for each in upstream}
    assert {*STEERS, *JUDGES, *WATCHES} <= steps
    assert sum(step_of(each) in STEERS for each in upstream) >= 2 * len(STEERS)
    for invocation in upstream:
        found = {step_of(each) for each in ancestors(invocation)}
        if step_of(invocation) in STEERS:
            assert not found & set(JUDGES), invocation
        elif step_of(invocation) in WATCHES:
            assert found >= set(JUDGES), invocation
