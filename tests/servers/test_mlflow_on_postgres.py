"""The tracking server as the cluster has it: PostgreSQL, files on S3; backup and restore.

PostgreSQL is Debian's (``apt-get install postgresql``), S3 is SeaweedFS, the server is started as
in the image, by ``python -m ops.stack.servers mlflow``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import torch
from mlflow import MlflowClient
from PIL import Image

from coti.inversion.adapters.embedding import Embedding
from coti.settings import PromotionSettings
from ops.registry.audit import entries
from ops.registry.embedding_registry import EmbeddingRegistry
from ops.registry.lease import hold
from ops.registry.promotion import promote
from ops.tracking.mlflow_record import RunRecord
from ops.tracking.tracker import Tracker
from tests.coti.pool.s3_server import ACCESS, SECRET, client, s3_server
from tests.servers.processes import PASSWORD, POSTGRES, application, postgres

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(POSTGRES is None, reason="no PostgreSQL: apt-get install postgresql"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

BUCKET = "coti-tracking"
ACCOUNTS = {
    "MLFLOW_AUTH_ADMIN_PASSWORD": "planted-admin-password",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "planted-secret-key",
    "COTI_MLFLOW_USERNAME": "runs",
    "COTI_MLFLOW_PASSWORD": "planted-%run/password",
}
ADMIN = ("admin", ACCOUNTS["MLFLOW_AUTH_ADMIN_PASSWORD"])
READER = ("reader", "planted-reader-password")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the server is told: PostgreSQL and a bucket, both running."""
    folder = tmp_path_factory.mktemp("servers")
    with postgres(folder) as port, s3_server(folder) as endpoint:
        client(endpoint).create_bucket(Bucket=BUCKET)
        yield {
            "COTI_DB_HOST": f"127.0.0.1:{port}",
            "COTI_DB_PASSWORD": PASSWORD,
            "COTI_S3_BUCKET": BUCKET,
            "MLFLOW_S3_ENDPOINT_URL": endpoint,
            "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*",
            **ACCOUNTS,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }


def test_a_registry_outlives_its_server_and_its_database(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written through the server, files in the bucket; dumped, restored elsewhere: the same.

    Nobody gets anything without an account; the account of runs writes, another's only reads.
    """
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ACCOUNTS["COTI_MLFLOW_USERNAME"])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ACCOUNTS["COTI_MLFLOW_PASSWORD"])
    with application("mlflow", tmp_path, settings, "/health") as address:
        _fill(address, tmp_path)
        before = _content(address, tmp_path / "before")
        stranger = requests.get(
            f"{address}/api/2.0/mlflow/experiments/get?experiment_id=0",
            headers={"Host": "elsewhere.example"},
            timeout=30,
        )
        assert stranger.status_code == 403
        _only_accounts_get_in(address)
    assert before["aliases"] == {"champion": "1"}
    assert before["audit"] == ["promote version 1", "refuse version 2"]
    stored = client(settings["MLFLOW_S3_ENDPOINT_URL"]).list_objects_v2(Bucket=BUCKET)
    names = [each["Key"] for each in stored["Contents"]]
    assert sum(name.endswith("/embedding/learned_embeds.safetensors") for name in names) == 2
    assert all(name.startswith("mlflow/") for name in names)
    assert {(name.split("+")[0], grey) for name, grey, _ in before["images"]} == {
        ("images/all cycles~samples", 100),
        ("images/all cycles~samples", 200),
    }
    images = [name for name in names if "/images/all cycles~samples" in name]
    assert sum(name.endswith(".png") for name in images) == 2

    _backup_and_restore(settings["COTI_DB_HOST"], tmp_path, settings["MLFLOW_S3_ENDPOINT_URL"])
    again = {**settings, "COTI_DB_NAME": "restored"}
    with application("mlflow", tmp_path, again, "/health") as address:
        assert _content(address, tmp_path / "after") == before
    _no_secret(tmp_path)


def _only_accounts_get_in(address: str) -> None:
    """Neither to read nor to move the champion; who only reads cannot move it either."""
    made = {"username": READER[0], "password": READER[1]}
    users = f"{address}/api/2.0/mlflow/users/create"
    assert requests.post(users, json=made, auth=ADMIN, timeout=30).ok
    alias = f"{address}/api/2.0/mlflow/registered-models/alias"
    moved = {"name": "boots", "alias": "champion", "version": "2"}
    asked = f"{address}/api/2.0/mlflow/registered-models/get?name=boots"
    artifacts = f"{address}/api/2.0/mlflow-artifacts/artifacts/planted"
    for login in (None, ("runs", "wrong"), ("admin", "password"), ("nobody", "")):
        for request in (
            lambda **more: requests.get(asked, **more),
            lambda **more: requests.post(alias, json=moved, **more),
            lambda **more: requests.put(artifacts, data=b"x", **more),
            lambda **more: requests.post(users, json={"username": "x", "password": "y"}, **more),
        ):
            assert request(auth=login, timeout=30).status_code == 401
    assert requests.get(asked, auth=READER, timeout=30).ok
    assert requests.post(alias, json=moved, auth=READER, timeout=30).status_code == 403


def _fill(address: str, folder: Path) -> None:
    """Two runs of a cycle each, their embeddings registered; the second is worse."""
    tracker = Tracker(address, artifact_store=str(folder))
    # No stack is active here: the lease is a lock in the test's folder.
    registry = EmbeddingRegistry(tracker.client, "boots", partial(hold, folder=folder / "locks"))
    assert registry.champion() is None  # an entry that is not there is no refusal
    for number, fd in ((1, 0.5), (2, 0.9)):
        record = RunRecord.open(
            tracker,
            experiment="boots",
            run_name=f"run {number}",
            run_key="key",
            timestamp=1_700_000_000_000 + number,
            params={"p": 1},
            tags={"t": "x"},
        )
        run = record.cycle_run(0, {"coti.cycle": "0"})
        record.log_metrics(run, {"phi": 5.0 + number}, 0)
        record.log_image(run, "samples", np.full((8, 8, 3), 100 * number, np.uint8), 0)
        embedding = Embedding("<boots>", (torch.full((2, 16), 0.1 * number),))
        path = embedding.save(folder / "learned_embeds.safetensors")
        record.log_file(record.parent_id, path, "embedding")
        record.finish(run)
        record.finish(record.parent_id)
        source = record.client.get_run(record.parent_id).info.artifact_uri
        version = registry.register(
            source=f"{source}/embedding",
            run_id=record.parent_id,
            key=f"key {number}",
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            metrics=_metrics(fd),
            tags={},
        )
        promote(registry, version, PromotionSettings(), "a test")


def _metrics(fd: float) -> dict[str, Any]:
    return {
        "fd_judge": fd,
        "r_precision": 0.9,
        "r_precision_candidates": 10,
        "generated": 256,
        "references": 1000,
        "references_hash": "r",
        "judge_hash": "j",
    }


def _content(address: str, folder: Path) -> dict[str, Any]:
    """Everything that must come back: runs, metrics, versions, aliases, audit trail, files.

    Images are downloaded into ``folder``.
    """
    tracking = MlflowClient(tracking_uri=address)
    registry = EmbeddingRegistry.find(tracking, "boots")
    experiment = tracking.get_experiment_by_name("boots")
    assert experiment is not None
    runs = tracking.search_runs([experiment.experiment_id])
    return {
        "runs": sorted((r.info.run_id, r.info.status, json.dumps(r.data.metrics)) for r in runs),
        "versions": [(v.version, v.run_id, dict(v.tags)) for v in registry.versions()],
        "aliases": {
            name: str(number)
            for name, number in tracking.get_registered_model(registry.name).aliases.items()
            if name == "champion"
        },
        "audit": [f"{e.action} version {e.version}" for e in entries(tracking, registry.name)],
        "faults": [registry.faults(version) for version in registry.versions()],
        "images": sorted(
            image for run in runs for image in _images(tracking, run.info.run_id, folder)
        ),
    }


def _images(tracking: MlflowClient, run_id: str, folder: Path) -> list[tuple[str, int, str]]:
    """Name, grey value and hash of each image that a run lists; it must download and open."""
    found = []
    for each in tracking.list_artifacts(run_id, "images"):
        if each.path.endswith(".png"):
            target = folder / run_id
            target.mkdir(parents=True, exist_ok=True)
            path = Path(tracking.download_artifacts(run_id, each.path, str(target)))
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            assert pixels.shape == (8, 8, 3)
            assert pixels.min() == pixels.max()
            found.append(
                (each.path, int(pixels.max()), hashlib.sha256(path.read_bytes()).hexdigest())
            )
    return found


def _backup_and_restore(host: str, folder: Path, endpoint: str) -> None:
    """The commands of docs/operations.md: the database first, then the bucket; both are lost, and
    come back, the bucket first."""
    place, dump = f"postgresql://mlflow:{PASSWORD}@{host}", folder / "mlflow.dump"
    admin = f"postgresql://root:{PASSWORD}@{host}/postgres"
    _run("pg_dump", f"{place}/mlflow", "--format=custom", "--file", str(dump))
    client(endpoint).create_bucket(Bucket=f"{BUCKET}-backup")
    _sync(endpoint, BUCKET, f"{BUCKET}-backup")

    _run("psql", admin, "-c", "drop database mlflow with (force)")
    storage = client(endpoint)
    for each in storage.list_objects_v2(Bucket=BUCKET)["Contents"]:
        storage.delete_object(Bucket=BUCKET, Key=each["Key"])
    assert "Contents" not in storage.list_objects_v2(Bucket=BUCKET)

    _sync(endpoint, f"{BUCKET}-backup", BUCKET)
    _run("psql", admin, "-c", "create database restored owner mlflow")
    _run("pg_restore", "--no-owner", "--dbname", f"{place}/restored", str(dump))


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _sync(endpoint: str, source: str, target: str) -> None:
    """What ``aws s3 sync`` does with two buckets; its program is not in the lock."""
    storage = client(endpoint)
    for each in storage.list_objects_v2(Bucket=source)["Contents"]:
        storage.copy_object(
            Bucket=target, Key=each["Key"], CopySource={"Bucket": source, "Key": each["Key"]}
        )


def _no_secret(folder: Path) -> None:
    """Neither the database's password nor the bucket's key is in what the server wrote."""
    log = (folder / "mlflow.log").read_text(encoding="utf-8", errors="replace")
    assert PASSWORD not in log
    assert SECRET not in log
    assert "planted-" not in log
