"""The pool in the pipeline: shards, resuming behind them, sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.e2e.conftest import TINY, Workspace

pytestmark = pytest.mark.e2e

RULES: dict[str, Any] = {"feature_shard": 40, "near_duplicate_cosine": 0.9995}
CHANGES: dict[str, Any] = {
    "pool": "pool",
    "ground_truth": None,
    "references": None,
    "pool_rules": RULES,
    "concept_score": {"kind": "calibrated"},
    "selection": {"batch": 5},
    "controller": {"max_cycles": 2},
    "train": {**TINY["train"], "max_steps": 3},
    "generation": {"num_inference_steps": 2, "phi_images": 4, "cycle_images": 8},
}


def _statuses(workspace: Workspace, step: str) -> dict[str, str]:
    """Statuses of the newest run's invocations of one step, a mapped one's shards among them."""
    every = workspace.cached_steps()
    return {
        k: v for k, v in every.items() if k == step or k.startswith((f"{step}_", f"map:{step}"))
    }


def shown(workspace: Workspace, config: Path) -> str:
    """What a terminal shows of a run; ZenML sends a pipeline's own lines to stderr."""
    done = workspace.run(config)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def pool(workspace: Workspace) -> Path:
    """The small pool, apart."""
    folder = workspace.root / "pool"
    folder.mkdir()
    given = sorted((workspace.root / "assets/pools/ankle_boot/pool").glob("*.png"))
    for path in given:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def said(workspace: Workspace, pool: Path) -> str:
    """What the terminal showed of a run that was killed in the middle of its shards and resumed."""
    config = workspace.config("shards", **CHANGES)
    workspace.run_and_kill(
        config, lambda log: "embed_pool" in log and log.count("has finished") > 4
    )
    return shown(workspace, config)


def test_a_shard_is_a_step_and_a_killed_run_goes_on_behind_it(
    workspace: Workspace, pool: Path, said: str
) -> None:
    """Three shards of at most 40 images; the resumed run takes all of them to one table."""
    statuses = _statuses(workspace, "embed_pool")
    assert len(statuses) == 3, workspace.cached_steps()
    shapes = workspace.query(
        "import json; from zenml.client import Client\n"
        "run = Client().list_pipeline_runs(size=1, sort_by='desc:created').items[0]\n"
        "out = run.steps['gather_features'].outputs\n"
        "tables = {k: v[0].load() for k, v in out.items() if k != 'features'}\n"
        "features = out['features'][0].load()\n"
        "print(json.dumps([len(features.strings('pool_ids')), len(features['pool']),\n"
        "                  len(tables['accepted']), len(tables['quarantined'])]))"
    )
    ids, rows, accepted, quarantined = shapes
    assert ids == rows == accepted
    assert accepted + quarantined == len(list(pool.iterdir()))


def test_the_terminal_says_what_the_pool_was_and_that_it_adds_up(pool: Path, said: str) -> None:
    """Kind, inputs, accepted and quarantined in one line."""
    (line,) = (line for line in said.splitlines() if line.startswith("Pool "))
    assert f"pool (folder): {len(list(pool.iterdir()))} inputs = " in line
    accepted, quarantined = (int(line.split(word)[0].split()[-1]) for word in (" acc", " quar"))
    assert accepted + quarantined == len(list(pool.iterdir()))


def test_the_page_on_the_pool_is_in_mlflow(workspace: Workspace, said: str) -> None:
    """It lies beside the parent run."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{workspace.root}/.coti/mlflow.db")
    experiment = client.get_experiment_by_name("ankle boot")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`coti.cycle` = 'parent'")
    files = [each.path for each in client.list_artifacts(runs[0].info.run_id, "pool")]
    assert files == ["pool/pool.html"]


def test_least_cosines_are_kept_from_cycle_to_cycle(workspace: Workspace, said: str) -> None:
    """The last table's minimum, made from the new images alone, is that over the whole X_T."""
    worst = workspace.query(
        "import json; from zenml.client import Client\n"
        "from coti.scores.concept_score import least_cosine\n"
        "from coti.scores.features_to_scores import rows_of\n"
        "import torch\n"
        "run = Client().list_pipeline_runs(size=1, sort_by='desc:created').items[0]\n"
        "step = run.steps[sorted(k for k in run.steps if k.startswith('score_pool'))[-1]]\n"
        "table = step.outputs['scores'][0].load().set_index('id')\n"
        "features = step.inputs['features'][0].load()\n"
        "chosen = list(step.inputs['training_set'][0].load()['id'])\n"
        "whole = least_cosine(features['pool'], rows_of(features, chosen))\n"
        "kept = torch.tensor(table['least_cosine'].loc[features.strings('pool_ids')].to_numpy())\n"
        "print(json.dumps([len(chosen), float((whole - kept).abs().max())]))"
    )
    assert worst[0] > 10
    assert worst[1] < 1e-5


def test_the_scores_are_parquet(workspace: Workspace, said: str) -> None:
    """A run's selection table in MLflow has the kept minimum as a column."""
    tables = list((workspace.root / ".coti").rglob("selection/selection.parquet"))
    assert tables
    assert "least_cosine" in pd.read_parquet(tables[0]).columns
