"""The graph of the static twin, as ZenML and KFP compile it: its order, and who is apart from whom.

Submitted in process, up to the call that would reach a cluster (``tests/k8s/capture.py``).
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
import yaml

from tests.k8s.capture import GPU_STEPS, IMAGE, PLANTED, ROOT, captured_by

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


Graph = tuple[dict[str, Any], dict[str, list[str]]]
"""The compiled KFP pipeline, and each invocation's upstream ones as ZenML has them."""


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Of the run file of Kubeflow's overlay."""
    folder = captured_by("kubeflow", tmp_path_factory.mktemp("kubeflow"))
    pipeline = next(yaml.safe_load_all((folder / "pipeline.yaml").read_text()))
    return pipeline, json.loads((folder / "upstream.json").read_text())


def step_of(invocation: str) -> str:
    """``train_cycle_2``, of cycle 2, is one of ``train_cycle``."""
    return re.sub(r"_\d+$", "", invocation)


def test_no_step_that_steers_has_the_judge_among_its_ancestors(
    graph: Graph,
) -> None:
    """In any cycle, through any number of steps; those that only watch do."""
    _, upstream = graph

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


def test_kubeflows_run_file_names_the_steps_of_every_cycle(graph: Graph) -> None:
    """ZenML passes over a name that there is none of, and a step without one gets no GPU."""
    _, upstream = graph
    named = yaml.safe_load((ROOT / "configs" / "kubeflow.yaml").read_text(encoding="utf-8"))
    kinds = {step_of(name) for name in named["steps"]}
    assert set(named["steps"]) == {each for each in upstream if step_of(each) in kinds}


def test_the_static_twins_graph(graph: Graph) -> None:
    """Six cycles of the same steps; each cycle's steps wait for the controller before them."""
    pipeline, upstream = graph
    tasks = pipeline["root"]["dag"]["tasks"]
    assert len(tasks) == len(upstream)
    names = {name.replace("-", "_") for name in tasks}
    assert sum(name.startswith("train_cycle") for name in names) == 6
    assert sum(name.startswith("select_batch") for name in names) == 6
    for name, task in tasks.items():
        needed = {each.replace("_", "-") for each in upstream[task["taskInfo"]["name"]]}
        assert set(task.get("dependentTasks", [])) == needed, name
    for cycle in range(1, 6):
        before = f"control_loop_{cycle - 1}"
        assert before in upstream[f"finetune_aesthetic_scorer_{cycle}"]
        # The selection may end the cycle: what follows asks it, and it asked the controller.
        selection = f"select_batch_{cycle}"
        assert before in upstream[selection]
        for step in ("train_cycle", "score_generations", "judge_cycle"):
            assert selection in upstream[f"{step}_{cycle}"]
        assert f"track_cycle_{cycle - 1}" in upstream[f"track_cycle_{cycle}"]
    assert "control_loop_5" in upstream["write_outputs"]


def test_the_static_twins_images_and_gpus(
    graph: Graph,
) -> None:
    """Our image in every component; a GPU for those steps alone."""
    pipeline, _ = graph
    for name, executor in pipeline["deploymentSpec"]["executors"].items():
        container = executor["container"]
        assert container["image"] == IMAGE
        wants = name.startswith(tuple(f"exec-{step.replace('_', '-')}" for step in GPU_STEPS))
        assert ("accelerator" in container.get("resources", {})) == wants, name


def test_no_secret_is_in_the_graph(graph: Graph) -> None:
    """The compiled file may be read by others."""
    assert not any(word in json.dumps(graph[0]) for word in PLANTED)
