"""The main job for real: ZenML on SQLite, MLflow on SQLite, the bundled models, real files."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from coti.dataset.chosen_set import read_set
from coti.inversion.adapters.embedding import Embedding
from coti.loop.record import CYCLE_COLUMNS
from tests.e2e.conftest import ROOT, Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

UNCACHED = {"track_cycle", "register_embedding", "write_outputs"}


@pytest.fixture(scope="module")
def first_run(workspace: Workspace) -> tuple[Path, str]:
    """Output folder and terminal of a first undisturbed run, started as from a shell."""
    done = workspace.run(workspace.config("first"), cold=True)
    return workspace.latest(), done.stdout + done.stderr


def _base(step: str) -> str:
    head, _, tail = step.rpartition("_")
    return head if tail.isdigit() else step


def test_it_writes_what_the_readme_promises(first_run: tuple[Path, str]) -> None:
    """Embedding, cycles.csv with the documented columns, and a self-contained report."""
    folder, _ = first_run
    with (folder / "cycles.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == tuple(CYCLE_COLUMNS)
    assert [row["cycle"] for row in rows] == [str(i) for i in range(len(rows))]
    assert len(rows) >= 2
    assert int(rows[1]["picked"]) > 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "ankle boot" in page
    assert 'src="http' not in page
    assert Embedding.load(folder / "learned_embeds.safetensors").token == "<ankle-boot>"


def test_x_t_is_exported_for_another_trainer(
    first_run: tuple[Path, str], workspace: Workspace
) -> None:
    """Of the kept cycle, by the run's folder: the pool's files as they are there, by their hash."""
    folder, _ = first_run
    with (folder / "cycles.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = json.loads((folder / "run.json").read_text(encoding="utf-8"))["kept_cycle"]
    words = ("dataset", "export", str(folder), "--for", "kohya", "--output", "exported", "--json")
    said = json.loads(workspace.command("coti", *words).stdout)
    assert said["images"] == sum(int(row["picked"]) for row in rows[: kept + 1]) > 0
    images = [
        path for path in (workspace.root / "exported/images").iterdir() if path.suffix != ".txt"
    ]
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in images}
    chosen = read_set(folder).chosen
    assert hashes == set(chosen["sha256"])
    assert chosen["score"].notna().all()
    assert set(chosen["cycle"]) <= set(range(kept + 1))


def test_the_terminal_shows_our_lines_only(first_run: tuple[Path, str]) -> None:
    """A table, the reason for stopping, where the embedding is, the MLflow command; no noise."""
    _, terminal = first_run
    assert "Stopped after cycle" in terminal
    assert "learned_embeds.safetensors" in terminal
    assert "coti ui --run" in terminal
    for noise in ("Skipping registering", "WARNING", "zenml login", "alembic", "Initiating"):
        assert noise not in terminal


def test_the_embedding_loads_in_plain_diffusers(first_run: tuple[Path, str]) -> None:
    """``pipe.load_textual_inversion`` takes the file as it is, the pipeline generates with it."""
    folder, _ = first_run
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from diffusers import StableDiffusionPipeline\n"
        f"p = StableDiffusionPipeline.from_pretrained({str(ROOT / 'assets/models/base')!r})\n"
        f"p.load_textual_inversion({str(folder / 'learned_embeds.safetensors')!r})\n"
        "p.set_progress_bar_config(disable=True)\n"
        "print(p('a photo of a <ankle-boot>', num_inference_steps=2).images[0].size)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "(32, 32)" in done.stdout


def test_mlflow_has_a_parent_and_a_run_a_cycle(
    workspace: Workspace, first_run: tuple[Path, str]
) -> None:
    """One experiment, one parent with params, tags and the image series, one nested run a cycle."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{workspace.root}/.coti/mlflow.db")
    experiment = client.get_experiment_by_name("ankle boot")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.data.tags["coti.cycle"] == "parent"]
    assert len(parents) == 1
    parent = parents[0]
    assert parent.info.status == "FINISHED"
    for tag in ("base_model_hash", "pool_hash", "config_hash", "git_commit", "seed", "strategy"):
        assert f"coti.{tag}" in parent.data.tags
    with (first_run[0] / "cycles.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == len(rows)
    for child in children:
        metrics = ("fd_judge", "r_precision", "phi", "phi_ref", "gamma_aes")
        for name in (*(f"cycle/{each}" for each in metrics), "train/loss"):
            assert name in child.data.metrics, (child.info.run_name, name)
        names = [each.path for each in client.list_artifacts(child.info.run_id, "embedding")]
        assert names == ["embedding/learned_embeds.safetensors"]
        losses = client.get_metric_history(child.info.run_id, "train/loss")
        assert [each.step for each in losses] == list(range(1, len(losses) + 1))
    images = [each.path for each in client.list_artifacts(parent.info.run_id, "images")]
    assert sum("samples" in name and name.endswith(".png") for name in images) == len(rows)


def test_a_run_is_found_by_its_concept_and_seed(
    workspace: Workspace, first_run: tuple[Path, str]
) -> None:
    """Its folder's and ZenML's name, ZenML's tags, and the list of runs."""
    name = first_run[0].name
    assert name.startswith("ankle-boot-seed-0-")
    found = workspace.query(
        "import json; from zenml.client import Client\n"
        "(run,) = Client().list_pipeline_runs(tags=['concept=ankle-boot'], hydrate=True).items\n"
        "print(json.dumps([run.name, sorted(tag.name for tag in run.tags)]))"
    )
    assert found == [name, ["concept=ankle-boot", "seed=0"]]
    (listed,) = json.loads(workspace.command("coti", "runs", "list", "--json").stdout)
    assert (listed["name"], listed["concept"], listed["seed"]) == (name, "ankle boot", 0)
    assert listed["cycles"] >= 2
    assert listed["mlflow_run"]


def test_the_kept_embedding_is_registered(workspace: Workspace, first_run: object) -> None:
    """A version with lineage, the gate's sentence, and ZenML's stage beside MLflow's alias."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{workspace.root}/.coti/mlflow.db")
    version = client.get_model_version_by_alias("ankle-boot", "champion")
    assert "first champion" in version.tags["coti.verdict"]
    assert version.tags["coti.pool_hash"]
    assert json.loads(version.tags["coti.metrics"])["references"] == 200
    stage = workspace.query(
        "import json; from zenml.client import Client\n"
        "print(json.dumps(Client().get_model_version('ankle-boot', 'production').name))"
    )
    assert stage == f"mlflow-{version.version}"


def test_a_second_identical_run_comes_from_the_cache(
    workspace: Workspace, first_run: tuple[Path, str]
) -> None:
    """From a subfolder, too; same embedding, no second version, and MLflow's record is whole."""
    from mlflow import MlflowClient

    before = (first_run[0] / "learned_embeds.safetensors").read_bytes()
    workspace.run(workspace.config("first"), cwd=workspace.root / "configs")
    status = workspace.cached_steps()
    ran = {_base(name) for name, value in status.items() if value != "cached"}
    assert ran <= UNCACHED
    assert (workspace.latest() / "learned_embeds.safetensors").read_bytes() == before
    client = MlflowClient(tracking_uri=f"sqlite:///{workspace.root}/.coti/mlflow.db")
    assert len(client.search_model_versions("name = 'ankle-boot'")) == 1
    experiment = client.get_experiment_by_name("ankle boot")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.data.tags["coti.cycle"] == "parent"]
    assert len(parents) == 2
    cached = [run.data.tags.get("coti.cached_from") for run in runs]
    assert cached.count(first_run[0].name) == cached.count(None) == len(runs) // 2
    first, second = (_metrics(client, runs, parent.info.run_id) for parent in parents)
    assert {"parent", "0", "1"} <= set(first)
    assert first == second


def _metrics(client: Any, runs: list[Any], parent: str) -> dict[str, dict[str, list[int]]]:
    """Of a parent and its cycles: the steps of each metric, so that runs can be compared."""
    return {
        run.data.tags["coti.cycle"]: {
            name: sorted(each.step for each in client.get_metric_history(run.info.run_id, name))
            for name in run.data.metrics
        }
        for run in runs
        if parent in (run.info.run_id, run.data.tags.get("mlflow.parentRunId"))
    }


def test_what_is_computed_again_is_what_changed(workspace: Workspace, first_run: object) -> None:
    """A line more in the trainer, then another image in the pool: what uses them, nothing else.

    On the seeds alone, a baseline by one key and the shortest run.
    """
    config = workspace.config("seeds", strategy="seeds", controller={"max_cycles": 0})
    workspace.run(config)
    with (workspace.latest() / "cycles.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["picked"] == "0"
    path = workspace.root / "coti" / "inversion" / "trainer.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nEDITED = True\n", encoding="utf-8")
    workspace.run(config)
    status = workspace.cached_steps()
    assert status["train_cycle_0"] == "completed"
    assert status["ingest_pool"] == status["gather_features"] == "cached"

    place = workspace.root / "assets" / "pools" / "ankle_boot"
    image, seed = (next((place / name).glob("*.png")) for name in ("pool", "seeds"))
    image.write_bytes(seed.read_bytes())
    workspace.run(config)
    status = workspace.cached_steps()
    assert status["ingest_pool"] == "completed"
    assert status["load_seeds"] == status["embed_references"] == "cached"


def test_the_embeddings_are_finite_and_moved(first_run: tuple[Path, str]) -> None:
    """Training changed the vectors and kept them finite."""
    vectors = Embedding.load(first_run[0] / "learned_embeds.safetensors").parts[0]
    assert torch.isfinite(vectors).all()
    assert len({tuple(row) for row in vectors.tolist()}) > 1
