from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import pytest
import torch
from mlflow.utils.file_utils import local_file_uri_to_path

from coti.core.errors import RegistryError
from coti.inversion.adapters.embedding import Embedding
from ops.registry.embedding_registry import EmbeddingRegistry, registered_concepts
from ops.registry.lease import hold
from ops.tracking.evaluation_record import record_evaluation
from ops.tracking.mlflow_record import RunRecord
from ops.tracking.ranking_record import record_ranking
from ops.tracking.tracked_embeddings import FILE, cycle_embedding, cycle_runs, parent_run
from ops.tracking.tracker import Tracker
from tests.adversary.bit_flips import flipped


def embedding(value: float) -> Embedding:
    """One whose vectors are all ``value``."""
    return Embedding("<ankle-boot>", (torch.full((2, 4), value),), {"concept": "ankle boot"})


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """A real MLflow on SQLite: one run of two cycles, two versions, the first the champion."""
    folder = tmp_path_factory.mktemp("mlflow")
    found = Tracker(f"sqlite:///{folder / 'mlflow.db'}", artifact_store=str(folder))
    record = RunRecord.open(
        found,
        experiment="ankle boot",
        run_name="run-1",
        run_key="key",
        timestamp=1000,
        params={},
        tags={},
    )
    # No stack is active here: the lease is a lock in the test's folder.
    registry = EmbeddingRegistry(found.client, "ankle boot", partial(hold, folder=folder / "locks"))
    for cycle in range(2):
        path = embedding(cycle + 1.0).save(folder / "learned_embeds.safetensors")
        record.log_embedding(record.cycle_run(cycle, {}), path)
    artifact = record.client.get_run(record.parent_id).info.artifact_uri
    for number in (1, 2):
        path = embedding(10.0 * number).save(folder / "learned_embeds.safetensors")
        record.log_file(record.parent_id, path, f"embedding{number}")
        registry.register(
            source=f"{artifact}/embedding{number}",
            run_id=record.parent_id,
            key=f"key {number}",
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            metrics={},
            tags={},
        )
    found.client.set_registered_model_alias("ankle-boot", "champion", "1")
    return found


def test_a_version_is_found_by_alias_or_number(tracker: Tracker) -> None:
    """The label says which it is; versions come in the order in which they were made."""
    registry = EmbeddingRegistry.find(tracker.client, "ankle boot")
    assert EmbeddingRegistry.find(tracker.client, "ankle-boot").name == registry.name
    champion = registry.embedding(registry.version("champion"))
    assert float(champion.embedding.parts[0][0, 0]) == 10
    assert champion.label == "ankle-boot v1 (champion)"
    for which in ("2", "challenger"):
        found = registry.embedding(registry.version(which))
        assert float(found.embedding.parts[0][0, 0]) == 20
    assert [int(each.version) for each in registry.versions()] == [1, 2]
    assert registered_concepts(tracker.client) == ["ankle-boot"]


def test_the_cycles_of_a_run_are_found(tracker: Tracker) -> None:
    """By the pipeline run's name, the first cycle first."""
    client = tracker.client
    run = parent_run(client, "run-1")
    assert run is not None
    registry = EmbeddingRegistry.find(client, "ankle boot")
    assert run == registry.embedding(registry.version("1")).run_id
    found = [cycle_embedding(client, each) for each in cycle_runs(client, run)]
    assert [each.label for each in found] == ["cycle 0", "cycle 1"]
    assert [float(each.embedding.parts[0][0, 0]) for each in found] == [1, 2]
    assert parent_run(client, "run-2") is None


def test_a_cycles_other_bytes_are_refused(tracker: Tracker) -> None:
    """One flipped bit in MLflow's store is another embedding, and nothing is made of it."""
    client = tracker.client
    run = cycle_runs(client, str(parent_run(client, "run-1")))[1]
    path = local_file_uri_to_path(f"{run.info.artifact_uri}/embedding/{FILE}")
    before = Path(path).read_bytes()
    for seed in range(3):
        Path(path).write_bytes(flipped(before, seed))
        with pytest.raises(RegistryError, match=r"cycle 1 of .* is not the one that was measured"):
            cycle_embedding(client, run)
    Path(path).write_bytes(before)
    assert cycle_embedding(client, run).run_id == run.info.run_id


def test_what_is_not_there_is_one_sentence(tracker: Tracker) -> None:
    """The sentence lists what there is."""
    client = tracker.client
    with pytest.raises(RegistryError, match=r"no concept 'bag' \(registered: ankle-boot\)"):
        EmbeddingRegistry.find(client, "bag")
    registry = EmbeddingRegistry.find(client, "ankle boot")
    there = r"there are the versions 1 \(champion\), 2 \(challenger\)\."
    with pytest.raises(RegistryError, match=rf"no version '9'; {there}"):
        registry.version("9")
    with pytest.raises(RegistryError, match="no alias 'best'"):
        registry.version("best")
    with pytest.raises(RegistryError, match="MLflow knows no run 'nonsense'"):
        cycle_runs(client, "nonsense")
    assert EmbeddingRegistry(client, "bag").champion() is None
    assert [each.name for each in client.search_registered_models()] == ["ankle-boot"], (
        "reading must not register anything"
    )


def test_a_file_that_is_gone_is_one_sentence(tracker: Tracker, tmp_path: Path) -> None:
    """It names the version and where its file should be."""
    folder = tmp_path / "gone"
    registry = EmbeddingRegistry(tracker.client, "gone", partial(hold, folder=tmp_path))
    path = embedding(1.0).save(folder / "learned_embeds.safetensors")
    version = registry.register(
        source=folder.as_uri(),
        run_id="",
        key="key",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        metrics={},
        tags={},
    )
    path.unlink()
    with pytest.raises(RegistryError, match=r"file of gone v1 \(challenger\) cannot be fetched"):
        registry.embedding(version)


def test_an_evaluation_is_tracked(tracker: Tracker, tmp_path: Path) -> None:
    """A parent with the files, a nested run an embedding, a step a seed."""
    table = tmp_path / "scores.csv"
    table.write_text("label\n")
    rows = [
        {"label": label, "num_vectors": 4, "seed": seed, "reconstruction": 0.5, "share_t-shirt": 1}
        for label in ("foot", "<ankle-boot>")
        for seed in (0, 1)
    ]
    parent = record_evaluation(tracker, "ankle boot", rows, {"judge": "j"}, [table])
    client = tracker.client
    run = client.get_run(parent)
    assert [file.path for file in client.list_artifacts(parent)] == ["scores.csv"]
    nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert sorted(each.data.params["label"] for each in nested) == ["<ankle-boot>", "foot"]
    history = client.get_metric_history(nested[0].info.run_id, "reconstruction")
    assert [metric.step for metric in history] == [0, 1]


def test_a_ranking_is_tracked(tracker: Tracker, tmp_path: Path) -> None:
    """A run with the files; each checkpoint a logged model with its numbers, and no more."""
    page = tmp_path / "rank.html"
    page.write_text("<p>")
    rows = [
        {"label": label, "kind": "LoRA", "file": label, "place": place, "coverage": coverage}
        for place, (label, coverage) in enumerate([("a/last", 0.5), ("b/last", None)], start=1)
    ]
    identity = record_ranking(tracker, "ankle boot", rows, {"seed": 3}, [page])
    client = tracker.client
    run = client.get_run(identity)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "3"}
    assert [file.path for file in client.list_artifacts(identity)] == ["rank.html"]
    models = client.search_logged_models([run.info.experiment_id])
    found = {each.name: each for each in models if each.source_run_id == identity}
    assert sorted(found) == ["a-last", "b-last"]
    first = {metric.key: metric.value for metric in found["a-last"].metrics or []}
    assert first == {"place": 1.0, "coverage": 0.5}
    assert found["b-last"].params["file"] == "b/last"
    assert str(found["b-last"].status) == "READY"
