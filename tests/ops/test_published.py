from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from coti.core.errors import RegistryError
from coti.inversion.adapters.embedding import Embedding
from ops.registry.embedding_registry import Registry
from ops.registry.lease import hold
from ops.registry.published import Published
from ops.tracking.evaluation_record import record_evaluation
from ops.tracking.mlflow_record import RunRecord


def word(value: float) -> Embedding:
    """A word whose vectors are all ``value``."""
    return Embedding("<ankle-boot>", (torch.full((2, 4), value),), {"concept": "ankle boot"})


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A real MLflow on SQLite: one run of two cycles, two versions, the first the champion."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    location = (folder / "artifacts").as_uri()
    record = RunRecord.open(uri, "ankle boot", "run-1", "key", 1000, {}, {}, location)
    registry = Registry.of(uri, "ankle boot")
    # No stack is active here: the lease is a lock in the test's folder.
    registry.locked = partial(hold, folder=folder / "locks")
    for cycle in range(2):
        path = word(float(cycle)).save(folder / "learned_embeds.safetensors")
        record.log_file(record.cycle_run(cycle, {}), path, "embedding")
    artifact = record.client.get_run(record.parent_id).info.artifact_uri
    for number in (1, 2):
        path = word(10.0 * number).save(folder / "learned_embeds.safetensors")
        record.log_file(record.parent_id, path, f"embedding{number}")
        source = f"{artifact}/embedding{number}"
        registry.register(source, record.parent_id, f"key {number}", {}, {})
    MlflowClient(uri).set_registered_model_alias("ankle-boot", "champion", "1")
    return Published.at(uri)


def test_a_version_is_found_by_alias_or_number(published: Published) -> None:
    """The champion without either; the label says which it is."""
    champion = published.find("ankle boot")
    assert float(champion.embedding.parts[0][0, 0]) == 10
    assert champion.label == "ankle-boot v1 (champion)"
    for which in ("2", "challenger"):
        assert float(published.find("Ankle Boot", which).embedding.parts[0][0, 0]) == 20
    assert [str(each.version) for each in published.versions("ankle boot")] == ["1", "2"]
    assert published.concepts() == ["ankle-boot"]


def test_the_cycles_of_a_run_are_found(published: Published) -> None:
    """By the pipeline run's name, the first cycle first."""
    run = published.run_of("run-1")
    assert run == published.find("ankle boot").run_id
    words = published.cycles(run)
    assert [found.label for found in words] == ["cycle 0", "cycle 1"]
    assert [float(found.embedding.parts[0][0, 0]) for found in words] == [0, 1]
    assert published.run_of("run-2") is None


def test_what_is_not_there_is_one_sentence(published: Published) -> None:
    """The sentence lists what there is."""
    with pytest.raises(RegistryError, match=r"no concept 'bag' \(registered: ankle-boot\)"):
        published.find("bag")
    with pytest.raises(RegistryError, match=r"no version '9'; there are the versions 1 \(champ"):
        published.find("ankle boot", "9")
    with pytest.raises(RegistryError, match="no alias 'best'"):
        published.find("ankle boot", "best")
    with pytest.raises(RegistryError, match="MLflow knows no run 'nonsense'"):
        published.cycles("nonsense")
    assert published.concepts() == ["ankle-boot"], "reading must not register anything"


def test_an_evaluation_is_tracked(published: Published, tmp_path: Path) -> None:
    """A parent with the files, a nested run a word, a step a seed."""
    table = tmp_path / "scores.csv"
    table.write_text("label\n")
    rows = [
        {"label": label, "num_vectors": 4, "seed": seed, "reconstruction": 0.5, "share_t-shirt": 1}
        for label in ("foot", "<ankle-boot>")
        for seed in (0, 1)
    ]
    uri = published.tracking_uri
    parent = record_evaluation(uri, "ankle boot", rows, {"judge": "j"}, [table])
    client = published.client
    run = client.get_run(parent)
    assert [file.path for file in client.list_artifacts(parent)] == ["scores.csv"]
    nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert sorted(each.data.params["label"] for each in nested) == ["<ankle-boot>", "foot"]
    history = client.get_metric_history(nested[0].info.run_id, "reconstruction")
    assert [metric.step for metric in history] == [0, 1]
