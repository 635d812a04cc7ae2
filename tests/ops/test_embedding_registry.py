"""Registry and record against a real MLflow on SQLite."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from cli import registry_changes
from cli.registry_commands import registry as cli_registry
from coti.core.errors import RegistryError
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.safety import Vocabulary
from coti.settings import PromotionSettings
from ops.registry.audit import entries
from ops.registry.embedding_registry import (
    PROPERTY_TAG,
    VOCABULARY_TAG,
    EmbeddingRegistry,
    registered_concepts,
)
from ops.registry.lease import hold
from ops.registry.promotion import (
    ACCEPTED_TAG,
    GATE_TAG,
    OUTCOME_TAG,
    VERDICT_TAG,
    accept_without_metrics,
    kept_gate,
    promote,
)
from ops.registry.rollback import rollback
from ops.tracking.mlflow_record import SHA256_TAG, RunRecord
from ops.tracking.tracked_embeddings import cycle_runs
from ops.tracking.tracker import Tracker, slug
from tests.adversary.bit_flips import flip_bit

pytestmark = [
    pytest.mark.slow,
    # MLflow's own; its SQLite engine is closed by the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tracking database of its own."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def _record(uri: str, folder: Path, concept: str, name: str, key: str = "k") -> RunRecord:
    return RunRecord.open(
        Tracker(uri, artifact_store=str(folder)),
        experiment=concept,
        run_name=name,
        run_key=key,
        timestamp=1_700_000_000_000,
        params={"p": 1},
        tags={"t": "x"},
    )


def _metrics(fd: float | None, precision: float | None) -> dict[str, Any]:
    return {
        "fd_judge": fd,
        "r_precision": precision,
        "r_precision_candidates": 10,
        "generated": 256,
        "references": 1000,
        "references_hash": "r",
        "judge_hash": "j",
    }


def test_writing_a_cycle_twice_leaves_the_record_as_it_was(uri: str, tmp_path: Path) -> None:
    """A retried step finds the same runs; metrics have one value a step."""
    for _ in range(2):
        record = _record(uri, tmp_path, "twice", "run-1")
        run_id = record.cycle_run(0, {"a": "b"})
        record.log_metrics(run_id, {"phi": 1.5, "fd_judge": None, "kid": float("nan")}, 0)
        record.log_curve(run_id, [{"step": 1, "train_loss": 2.0}, {"step": 2, "train_loss": 1.0}])
        record.log_image(record.parent_id, "samples", np.zeros((4, 4, 3), np.uint8), 0)
        record.finish(run_id)
    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([record.experiment_id])
    assert len(runs) == 2
    assert [m.value for m in client.get_metric_history(run_id, "train_loss")] == [2.0, 1.0]
    assert client.get_run(run_id).data.metrics == {"phi": 1.5, "train_loss": 1.0}


def test_a_killed_runs_record_is_closed_by_the_next(uri: str, tmp_path: Path) -> None:
    """The interrupted parent and its cycles end as killed, with the name of who goes on; a run that
    lives, as one of the same settings may, is left alone."""
    first = _record(uri, tmp_path, "killed", "run-1")
    child = first.cycle_run(0, {})
    client = MlflowClient(tracking_uri=uri)
    with subprocess.Popen(["sleep", "60"]) as other:
        began = psutil.Process(other.pid).create_time()
        process = f"{socket.gethostname()} {other.pid} {began:.2f}"
        client.set_tag(first.parent_id, "coti.process", process)
        live = _record(uri, tmp_path, "killed", "run-live")
        assert client.get_run(first.parent_id).info.status == "RUNNING"
        other.kill()
    _record(uri, tmp_path, "killed", "run-2")
    _record(uri, tmp_path, "killed", "run-3", key="another")
    assert client.get_run(live.parent_id).info.status == "RUNNING"
    assert client.get_run(first.parent_id).info.status == "KILLED"
    assert client.get_run(first.parent_id).data.tags["coti.resumed_by"] == "run-2"
    assert client.get_run(child).info.status == "KILLED"


class _Concept:
    """A registry entry with locks in a folder of the test, and real files behind its versions."""

    def __init__(self, uri: str, folder: Path, concept: str) -> None:
        self.record = _record(uri, folder, concept, "run-1")
        self.folder = folder
        self.entry = EmbeddingRegistry(
            MlflowClient(tracking_uri=uri),
            concept,
            partial(hold, folder=folder / "locks"),
            remembered=lambda _name: None,
        )

    def add(
        self,
        key: str,
        fd: float | None,
        precision: float | None,
        scale: float = 1.0,
        outcome: str = "worked",
    ) -> ModelVersion:
        """Register an embedding of two vectors of norm ``2 * scale``; a word's are 1 to 3."""
        embedding = Embedding("<w>", (torch.full((2, 4), scale),))
        path = embedding.save(self.folder / key / "learned_embeds.safetensors")
        self.record.log_file(self.record.parent_id, path, key)
        root = self.record.client.get_run(self.record.parent_id).info.artifact_uri
        vocabulary = Vocabulary((4,), (1.0,), (3.0,)).to_json()
        tags = {VOCABULARY_TAG: vocabulary, OUTCOME_TAG: outcome}
        metrics = _metrics(fd, precision)
        return self.entry.register(
            source=f"{root}/{key}",
            run_id=self.record.parent_id,
            key=key,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            metrics=metrics,
            tags=tags,
        )

    def champion(self) -> int:
        """Its number."""
        found = self.entry.champion()
        assert found is not None
        return int(found.version)


SETTINGS = PromotionSettings(r_precision_floor=0.5)


def test_versions_aliases_and_the_gate(uri: str, tmp_path: Path) -> None:
    """First champion by the floor; a worse challenger stays one; a better one takes over."""
    concept = _Concept(uri, tmp_path, "gate concept")
    entry = concept.entry
    assert entry.name == slug("gate concept") == "gate-concept"
    first = concept.add("a", 10.0, 0.8)
    assert promote(entry, first, SETTINGS).promoted
    worse = concept.add("b", 11.0, 0.9)
    verdict = promote(entry, worse, SETTINGS)
    assert not verdict.promoted
    assert "fd_judge is" in verdict.reason
    assert concept.champion() == int(first.version)
    assert entry.aliases(worse) == ["challenger"]
    better = concept.add("c", 5.0, 0.9)
    assert promote(entry, better, SETTINGS).promoted
    assert concept.champion() == int(better.version)
    assert entry.aliases(better) == ["champion"]
    assert int(concept.add("c", 5.0, 0.9).version) == int(better.version)


@pytest.mark.parametrize("kind", ["object", "style"])
def test_an_export_says_whether_it_is_a_style(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As its run learned it: consumers of the folder prompt with it accordingly."""
    concept = _Concept(uri, tmp_path, f"exported {kind}")
    version = concept.add("a", 10.0, 0.8)
    client, name = concept.record.client, concept.entry.name
    client.set_model_version_tag(name, version.version, PROPERTY_TAG, kind)
    monkeypatch.setattr(registry_changes, "entry_of", lambda _concept: concept.entry)
    done = CliRunner().invoke(
        registry_changes.export, [name, "1", "--output", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "type_of_concept.txt").read_text() == kind


@pytest.mark.parametrize("outcome", ["doubtful", "failed"])
def test_what_has_not_worked_is_no_champion_by_itself(
    uri: str, tmp_path: Path, outcome: str
) -> None:
    """However good its metrics are; a person may promote it, or the run file's gate allow it."""
    concept = _Concept(uri, tmp_path, f"{outcome} concept")
    version = concept.add("a", 1.0, 0.99, outcome=outcome)
    refused = promote(concept.entry, version, SETTINGS)
    assert not refused.promoted
    assert f"its run is {outcome}" in refused.reason
    assert concept.entry.champion() is None
    assert promote(concept.entry, version, SETTINGS, "looked at", keep_gate=False).promoted
    allowed = concept.add("b", 0.1, 0.99, outcome=outcome)
    assert promote(concept.entry, allowed, replace(SETTINGS, worked_only=False)).promoted


def test_every_change_is_written_down_and_can_be_undone(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who, why and the verdict of each; a rollback returns to the champion before, or to any."""
    monkeypatch.setenv("COTI_ACTOR", "ada")
    concept = _Concept(uri, tmp_path, "trail")
    entry = concept.entry
    one, two = concept.add("a", 10.0, 0.8), concept.add("b", 5.0, 0.9)
    promote(entry, one, SETTINGS, "the first")
    promote(entry, two, SETTINGS, "a better one")
    promote(entry, two, SETTINGS, "again")
    assert int(rollback(entry, None, "it generates sandals").version) == int(one.version)
    assert concept.champion() == int(one.version)
    rollback(entry, str(two.version), "no, it was the prompt")
    assert concept.champion() == int(two.version)
    trail = [
        (e.action, e.version, e.previous, e.who, e.why) for e in entries(entry.client, "trail")
    ]
    first, second = int(one.version), int(two.version)
    assert trail == [
        ("promote", first, None, "ada", "the first"),
        ("promote", second, first, "ada", "a better one"),
        ("rollback", first, second, "ada", "it generates sandals"),
        ("rollback", second, first, "ada", "no, it was the prompt"),
    ]
    with pytest.raises(RegistryError, match="has no version '99'"):
        rollback(entry, "99", "nowhere")


def test_a_second_rollback_goes_further_back(uri: str, tmp_path: Path) -> None:
    """To the champion before, never to the one that was rolled back, until there is none."""
    concept = _Concept(uri, tmp_path, "back")
    entry = concept.entry
    versions = [concept.add(str(n), 10.0 - n, 0.8) for n in range(3)]
    for version in versions:
        promote(entry, version, SETTINGS)
    for version in (versions[1], versions[0]):
        assert int(rollback(entry, None, "worse than it looked").version) == int(version.version)
    with pytest.raises(RegistryError, match="no champion before the present one"):
        rollback(entry, None, "worse still")


def test_a_champion_that_nobody_wrote_down_is_no_measure(uri: str, tmp_path: Path) -> None:
    """An alias moved past the gate is said at the next promotion, until somebody settles it."""
    concept = _Concept(uri, tmp_path, "moved")
    entry = concept.entry
    versions = [concept.add(str(n), 10.0 - n, 0.8) for n in range(3)]
    promote(entry, versions[2], SETTINGS)
    entry.client.set_registered_model_alias(entry.name, "champion", versions[0].version)
    verdict = promote(entry, versions[1], SETTINGS)
    assert (verdict.promoted, "written down" in verdict.reason) == (False, True)
    assert concept.champion() == int(versions[0].version)
    assert f"--to {versions[0].version} --force" in verdict.reason
    with pytest.raises(RegistryError, match="never was the champion"):
        rollback(entry, str(versions[0].version), "it was meant")
    rollback(entry, str(versions[0].version), "it was meant", force=True)
    with pytest.raises(RegistryError, match="champion already"):
        rollback(entry, str(versions[0].version), "again")
    assert promote(entry, versions[1], SETTINGS).promoted


def test_only_a_former_champion_is_rolled_back_to(uri: str, tmp_path: Path) -> None:
    """One that the gate refused is none; by force it becomes one, and the trail says how."""
    concept = _Concept(uri, tmp_path, "former")
    entry = concept.entry
    good, bad = concept.add("a", 10.0, 0.8), concept.add("b", 20.0, 0.8)
    promote(entry, good, SETTINGS)
    assert not promote(entry, bad, SETTINGS).promoted
    with pytest.raises(RegistryError, match=r"version 2 of 'former' never was .* --force"):
        rollback(entry, "2", "it looks good to me")
    assert concept.champion() == 1
    rollback(entry, "2", "it looks good to me", force=True)
    rollback(entry, None, "no, it does not")
    rollback(entry, "2", "it was a champion once")
    assert concept.champion() == 2
    trail = [(e.action, e.version, e.previous) for e in entries(entry.client, entry.name)]
    changes = [("force_rollback", 2, 1), ("rollback", 1, 2), ("rollback", 2, 1)]
    assert trail == [("promote", 1, None), ("refuse", 2, 1), *changes]


def test_a_forced_rollback_killed_half_way_is_written_down_once(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own line makes no former champion of a version: the repeat needs force, too."""
    concept = _Concept(uri, tmp_path, "forced")
    entry = concept.entry
    promote(entry, concept.add("a", 10.0, 0.8), SETTINGS)
    concept.add("b", 20.0, 0.8)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ops.registry.rollback.crown", die)
        with pytest.raises(KeyboardInterrupt):
            rollback(entry, "2", "mine", force=True)
    with pytest.raises(RegistryError, match="never was the champion"):
        rollback(entry, "2", "mine")
    rollback(entry, "2", "mine", force=True)
    assert concept.champion() == 2
    actions = [each.action for each in entries(entry.client, entry.name)]
    assert actions == ["promote", "force_rollback"]


def test_without_metrics_a_person_answers_for_a_champion(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own or the champion's missing ones; the gate's word, a sound file and the trail stay."""
    monkeypatch.setenv("COTI_ACTOR", "ada")
    concept = _Concept(uri, tmp_path, "unmeasured")
    entry = concept.entry
    bare = concept.add("a", None, None)
    verdict = promote(entry, bare, SETTINGS)
    assert not verdict.promoted
    assert "--accept-without-metrics" in verdict.reason
    verdict = accept_without_metrics(entry, bare, "no references exist")
    sentence = "accepted without metrics (fd_judge and R-precision missing) by ada: no references"
    assert (verdict.promoted, verdict.reason) == (True, f"{sentence} exist")
    found = entry.version("champion")
    assert (found.version, found.tags[ACCEPTED_TAG]) == (bare.version, "ada: no references exist")
    assert found.tags[VERDICT_TAG] == verdict.reason
    loud = concept.add("b", None, None, scale=10.0)
    assert not accept_without_metrics(entry, loud, "louder").promoted
    measured = concept.add("c", 1.0, 0.9)
    assert "the champion has no fd_judge" in promote(entry, measured, SETTINGS).reason
    assert accept_without_metrics(entry, measured, "references now").promoted
    with pytest.raises(RegistryError, match="version 4 has the metrics that the gate needs"):
        accept_without_metrics(entry, concept.add("d", 0.5, 0.9), "hurry")
    actions = [each.action for each in entries(entry.client, entry.name)]
    accepted = "accept_without_metrics"
    assert actions == ["refuse", accepted, "refuse", "refuse", accepted]


def test_a_half_crowned_version_is_crowned_by_a_repeat(uri: str, tmp_path: Path) -> None:
    """Killed after the champion's alias was set and before the challenger's was taken away."""
    concept = _Concept(uri, tmp_path, "half")
    version = concept.add("a", 10.0, 0.8)
    concept.entry.client.set_registered_model_alias("half", "champion", version.version)
    assert concept.entry.aliases(version) == ["challenger", "champion"]
    assert promote(concept.entry, version, SETTINGS).promoted
    assert concept.entry.aliases(version) == ["champion"]


def test_other_models_in_the_same_mlflow_are_left_out(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that no concept could have, versions without our metrics, more than a page of them."""
    monkeypatch.setattr(
        "ops.tracking.active_tracker.active_tracker", lambda: Tracker(uri, str(tmp_path))
    )
    _Concept(uri, tmp_path, "ours").add("a", 10.0, 0.8)
    client = MlflowClient(tracking_uri=uri)
    for number in range(101):
        client.create_registered_model(f"fraud_model {number}")
    client.create_model_version("fraud_model 0", str(tmp_path))
    done = CliRunner().invoke(cli_registry, ["list", "--json"], catch_exceptions=False)
    concepts = [row["concept"] for row in json.loads(done.output)]
    assert "ours" in concepts
    assert not [name for name in concepts if name.startswith("fraud")]
    assert not [name for name in registered_concepts(client) if name.startswith("fraud")]


def test_zenml_mirrors_each_concept_by_itself(uri: str, tmp_path: Path) -> None:
    """In a real ZenML store, where one name begins with the other and both have a version 1; an
    alias that somebody moves meanwhile is followed. It remembers a champion that MLflow has lost.
    """
    concepts = [_Concept(uri, tmp_path / name, name) for name in ("mirror red", "mirror")]
    for concept in concepts:
        for number in range(2):
            promote(concept.entry, concept.add(str(number), 10.0 - number, 0.8), SETTINGS)
        concept.add("worse", 20.0, 0.8)
    script = tmp_path / "mirror.py"
    script.write_text(_MIRROR, encoding="utf-8")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, str(script), uri, str(tmp_path), json.dumps(_metrics(5.0, 0.8))],
        env={
            **os.environ,
            "ZENML_CONFIG_PATH": str(tmp_path / "zenml"),
            "ZENML_ENABLE_REPO_INIT_WARNINGS": "false",
            "PYTHONPATH": str(root),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    stages = {"mlflow-2": "production", "mlflow-3": "staging"}
    moved = {"mlflow-1": "production", "mlflow-2": "archived", "mlflow-3": "staging"}
    found, lost = json.loads(done.stdout.splitlines()[-1])
    assert found == {"mirror-red": stages, "mirror": moved}
    assert lost[0] == lost[1]
    assert "ZenML remembers mlflow-1 as the champion of 'mirror', and MLflow's registry" in lost[0]
    assert lost[2].startswith("promoted as the first champion: ")


_MIRROR = """
import json, sys
from mlflow import MlflowClient
from zenml.client import Client
from functools import partial
from pathlib import Path
from coti.settings import PromotionSettings
from ops.registry import zenml_mirror
from ops.registry.embedding_registry import METRICS_TAG
from ops.registry.lease import hold
from ops.registry.promotion import promote
from ops.registry.embedding_registry import EmbeddingRegistry
from ops.registry.zenml_mirror import mirror_to_zenml
client = MlflowClient(tracking_uri=sys.argv[1])
mirror_to_zenml(EmbeddingRegistry(client, "mirror red"))
once = zenml_mirror._mirror
def moving(entry, number, alias):
    once(entry, number, alias)
    if alias == "champion":
        client.set_registered_model_alias(entry.name, "champion", "1")
zenml_mirror._mirror = moving
mirror_to_zenml(EmbeddingRegistry(client, "mirror"))
found = {
    model.name: {each.name: each.stage for each in Client().list_model_versions(model=model.id)}
    for model in Client().list_models()
}
# The registry is lost: the new version is no first champion, until somebody says that it may be.
zenml_mirror._mirror = once
client.delete_registered_model("mirror")
version = client.create_registered_model("mirror")
folder = next(Path(sys.argv[2]).rglob("0/learned_embeds.safetensors")).parent
metrics = {METRICS_TAG: json.dumps(json.loads(sys.argv[3]))}
version = client.create_model_version("mirror", str(folder), tags=metrics)
entry = EmbeddingRegistry(client, "mirror", partial(hold, folder=Path(sys.argv[2])))
said = []
for turn in range(3):
    if turn == 2:
        Client().delete_model("mirror")
    said.append(promote(entry, version, PromotionSettings(r_precision_floor=0.5)).reason)
    mirror_to_zenml(entry)
print(json.dumps([found, said]))
"""


@pytest.mark.parametrize("place", ["append", "crown"])
def test_a_promotion_killed_half_way_is_written_down_once(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Before its line or its alias: the same promotion again makes up for what is missing."""
    concept = _Concept(uri, tmp_path, f"killed before {place}")
    entry = concept.entry
    one = concept.add("a", 10.0, 0.8)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"ops.registry.promotion.{place}", die)
        with pytest.raises(KeyboardInterrupt):
            promote(entry, one, SETTINGS)
    for _ in range(2):
        assert promote(entry, one, SETTINGS).promoted
    assert concept.champion() == int(one.version)
    trail = [(e.action, e.version, e.previous) for e in entries(entry.client, entry.name)]
    assert trail == [("promote", int(one.version), None)]


def test_a_file_that_is_not_sound_is_not_promoted(uri: str, tmp_path: Path) -> None:
    """Vectors ten times as long as the vocabulary's: the gate names them, good metrics or not."""
    concept = _Concept(uri, tmp_path, "loud")
    verdict = promote(concept.entry, concept.add("a", 0.1, 1.0, scale=10.0), SETTINGS)
    assert not verdict.promoted
    assert "norm 20 to 20, the vocabulary's are 1 to 3" in verdict.reason
    assert concept.entry.champion() is None


def test_a_file_that_is_not_the_measured_one_is_neither_registered_nor_promoted(
    uri: str, tmp_path: Path
) -> None:
    """One bit of the file in the artifact store: it is said, and nobody is given it."""
    concept = _Concept(uri, tmp_path, "flipped")
    entry, version = concept.entry, concept.add("a", 0.1, 1.0)
    stored = Path(str(version.source).removeprefix("file://")) / "learned_embeds.safetensors"
    flip_bit(stored, seed=1)
    verdict = promote(entry, version, SETTINGS)
    assert not verdict.promoted
    assert "not the one that was measured" in verdict.reason
    with pytest.raises(RegistryError, match=r"flipped version 1: .* not the one that was measured"):
        entry.embedding(version)
    with pytest.raises(RegistryError, match=r"nothing is registered: .* was measured"):
        entry.register(
            source=str(version.source),
            run_id=concept.record.parent_id,
            key="b",
            sha256=version.tags[SHA256_TAG],
            metrics={},
            tags={},
        )
    assert len(entry.versions()) == 1


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is held up inside the lease; the second, without patience, is told by whom."""
    monkeypatch.setenv("COTI_ACTOR", "ada")
    concept = _Concept(uri, tmp_path, "race")
    one, two = concept.add("a", 10.0, 0.8), concept.add("b", 5.0, 0.9)
    inside, go_on = threading.Event(), threading.Event()
    slow = replace(concept.entry)
    look = slow.faults

    def look_slowly(version: ModelVersion) -> list[str]:
        inside.set()
        go_on.wait(60)
        return look(version)

    monkeypatch.setattr(slow, "faults", look_slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(promote, slow, one, SETTINGS)
        assert inside.wait(60)
        with pytest.raises(RegistryError, match=r"under way \(by ada\)"):
            promote(concept.entry, two, SETTINGS, seconds=0.1)
        go_on.set()
        assert first.result(60).promoted
    assert concept.champion() == int(one.version)
    assert len(entries(concept.entry.client, "race")) == 1


def test_a_server_that_is_gone_has_not_said_that_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No champion: the gate would let anything pass while the server restarts. Nor no run."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = EmbeddingRegistry(MlflowClient(tracking_uri="http://127.0.0.1:9"), "boots")
    for ask in (registry.champion, lambda: cycle_runs(registry.client, "run")):
        with pytest.raises(MlflowException, match="refused"):
            ask()


def test_a_version_keeps_the_gate_of_its_run_file(uri: str, tmp_path: Path) -> None:
    """The last one that its run was judged by; not one that a person named for once."""
    concept = _Concept(uri, tmp_path, "own gate")
    entry = concept.entry
    version = concept.add("a", 10.0, 0.6)
    assert kept_gate(version) is None
    for floor in (0.9, 0.7):
        own = PromotionSettings(r_precision_floor=floor, fd_ceiling=20.0)
        assert not promote(entry, concept.add("a", 10.0, 0.6), own).promoted
        assert kept_gate(entry.version("challenger")) == own
    assert promote(entry, version, SETTINGS, keep_gate=False).promoted
    assert kept_gate(entry.version("champion")) == own
    entry.client.set_model_version_tag(entry.name, version.version, GATE_TAG, '{"old": 1}')
    with pytest.raises(RegistryError, match=r"of own-gate version 1 cannot .* run file with"):
        kept_gate(entry.version("1"))


def test_by_hand_the_version_is_judged_by_its_own_gate(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command says by which: the own, a run file's, or the default where none was kept."""
    concept = _Concept(uri, tmp_path, "by hand")
    monkeypatch.setattr("cli.registry_changes.entry_of", lambda name: concept.entry)
    monkeypatch.setattr("ops.registry.zenml_mirror.mirror_to_zenml", lambda entry: None)
    version = concept.add("a", 10.0, 0.6)

    def by_hand(*words: str) -> tuple[int, str]:
        words = ("promote", "by hand", "1", "--why", "a test", *words)
        done = CliRunner().invoke(cli_registry, words, catch_exceptions=False)
        return done.exit_code, done.output

    promote(concept.entry, version, PromotionSettings(r_precision_floor=0.9))
    code, said = by_hand()
    assert code == 3
    assert said.startswith("Gate of the version's own run file: fd_margin 0.02, ")
    assert "r_precision_floor 0.9" in said
    easy = tmp_path / "easy.yaml"
    rest = "concept: by hand, seeds: s, pool: p"
    easy.write_text(f"parameters: {{config: {{{rest}, promotion: {{r_precision_floor: 0.95}}}}}}")
    code, said = by_hand("-c", str(easy))
    assert (code, f"Gate of {easy}: " in said) == (3, True)
    concept.entry.client.delete_model_version_tag(concept.entry.name, "1", GATE_TAG)
    code, said = by_hand()
    assert (code, said.startswith("Gate by default, since none was kept")) == (0, True)
    assert concept.champion() == 1


def test_of_equal_runs_at_once_one_registers(uri: str, tmp_path: Path) -> None:
    """All look before any creates, if nothing holds them back: it is one version for all."""
    concept = _Concept(uri, tmp_path, "twins")
    first = concept.add("first", 1.0, 0.9)
    barrier = threading.Barrier(3)

    class Slow(EmbeddingRegistry):
        def _version_of(self, key: str) -> ModelVersion | None:
            found = super()._version_of(key)
            time.sleep(0.5)
            return found

    def register(_: int) -> int:
        entry = concept.entry
        mine = Slow(MlflowClient(tracking_uri=uri), entry.concept, entry.locked)
        barrier.wait(60)
        return int(
            mine.register(
                source=str(first.source),
                run_id=concept.record.parent_id,
                key="same",
                sha256=first.tags[SHA256_TAG],
                metrics={},
                tags={},
            ).version
        )

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(register, range(3))) == [2, 2, 2]
    assert [int(each.version) for each in concept.entry.versions()] == [1, 2]
