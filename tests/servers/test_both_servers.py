"""One run with all that a cluster has but the cluster.

ZenML's server on MariaDB, MLflow's on PostgreSQL (Debian's both, ``apt-get install mariadb-server
postgresql``), artifacts and images on S3 (SeaweedFS), each started as in the image, by ``python -m
ops.stack.servers``. What was run is found by other clients than the one that ran it, and ZenML's
part of it by another server on the restored database.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from coti.inversion.adapters.embedding import Embedding
from tests.coti.pool.s3_server import ACCESS, SECRET, client, s3_server
from tests.e2e.conftest import Workspace, make_checkout
from tests.servers.processes import (
    MARIADB,
    PASSWORD,
    POSTGRES,
    api_key,
    application,
    log_in,
    mariadb,
    postgres,
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(MARIADB is None, reason="no MariaDB: apt-get install mariadb-server"),
    pytest.mark.skipif(POSTGRES is None, reason="no PostgreSQL: apt-get install postgresql"),
]

ADMIN = "planted-admin-password"
BUCKET = "coti"
CONTENT = (
    "import json; from zenml.client import Client\n"
    "c = Client()\n"
    "runs = [(str(r.id), r.status.value, sorted(r.steps), [a.uri for a in"
    " r.steps['train_cycle_0'].outputs['embedding']]) for r in c.list_pipeline_runs().items]\n"
    "models = [(v.model.name, v.name, v.stage) for v in c.list_model_versions().items]\n"
    "secret = c.get_secret('probe').secret_values\n"
    "print(json.dumps({'runs': runs, 'models': models, 'secret': secret,"
    " 'store': c.zen_store.url}))"
)
"""Prints what a client finds on the server."""
LOGIN = {
    "MLFLOW_TRACKING_USERNAME": "coti",
    "MLFLOW_TRACKING_PASSWORD": "planted-password-of-runs",
}


def test_a_run_on_both_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run, its images and the registered embedding are on the servers, the files in the bucket.

    Another ZenML server finds the same in the restored dump; neither has a secret in its log.
    """
    with mariadb(tmp_path) as port, postgres(tmp_path) as other, s3_server(tmp_path) as store:
        client(store).create_bucket(Bucket=BUCKET)
        keys = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
        zenml = {
            "COTI_DB_HOST": f"127.0.0.1:{port}",
            "COTI_DB_PASSWORD": PASSWORD,
            "ZENML_CONFIG_PATH": str(tmp_path / "server"),
            "ZENML_SERVER_JWT_SECRET_KEY": "planted-jwt-secret-of-thirty-two-bytes",
            "ZENML_SECRETS_STORE_ENCRYPTION_KEY": "planted-encryption-key-of-32-bytes",
            "ZENML_SECRETS_STORE_TYPE": "sql",
            "ZENML_SERVER_AUTO_ACTIVATE": "true",
            "ZENML_DEFAULT_USER_NAME": "admin",
            "ZENML_DEFAULT_USER_PASSWORD": ADMIN,
        }
        mlflow = {
            "COTI_DB_HOST": f"127.0.0.1:{other}",
            "COTI_DB_PASSWORD": PASSWORD,
            "COTI_S3_BUCKET": BUCKET,
            "MLFLOW_S3_ENDPOINT_URL": store,
            "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*",
            "MLFLOW_AUTH_ADMIN_PASSWORD": "planted-admin-password",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "planted-secret-key",
            "COTI_MLFLOW_USERNAME": "coti",
            "COTI_MLFLOW_PASSWORD": LOGIN["MLFLOW_TRACKING_PASSWORD"],
            **keys,
        }
        with (
            application("zenml", tmp_path, zenml, "/health") as address,
            application("mlflow", tmp_path, mlflow, "/health") as tracking,
        ):
            space, key = _logged_in(tmp_path, address, tracking, store, keys)
            before = _run_and_look(space, tracking, store, monkeypatch)
        assert before["store"] == address
        _backup_and_restore(zenml["COTI_DB_HOST"])
        again = {**zenml, "COTI_DB_NAME": "restored"}
        with application("zenml", tmp_path, again, "/health") as address:
            log_in(space, address, key)
            after = space.query(CONTENT)
    assert {**after, "store": ""} == {**before, "store": ""}
    log = (tmp_path / "zenml.log").read_text(encoding="utf-8", errors="replace")
    for planted in (PASSWORD, ADMIN, key, "planted-value", "planted-jwt", "planted-encryption"):
        assert planted not in log


def _logged_in(
    folder: Path, address: str, tracking: str, store: str, keys: dict[str, str]
) -> tuple[Workspace, str]:
    """A checkout with the stack on both servers, and the key of its service account."""
    space = make_checkout(folder)
    space.extra.update(
        {
            **keys,
            "COTI_S3_BUCKET": BUCKET,
            "COTI_S3_ENDPOINT": store,
            "MLFLOW_TRACKING_URI": tracking,
            **LOGIN,
        }
    )
    key = api_key(address, ADMIN)
    log_in(space, address, key)
    for words in (
        ("coti", "stack", "up", "s3"),
        ("zenml", "secret", "create", "probe", "--value=planted-value"),
    ):
        done = space.command(*words)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    checked = space.command("coti", "stack", "check")
    assert checked.returncode == 0, checked.stdout
    assert f"answers at {address.rsplit(':', 1)[0]}" in checked.stdout
    return space, key


def _run_and_look(
    space: Workspace, tracking: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """What ZenML's server has of a run of one cycle; MLflow's and the bucket have the rest."""
    space.run(space.config("run", controller={"max_cycles": 0}))
    content = space.query(CONTENT)
    ((_, status, steps, uris),) = content["runs"]
    assert status == "completed"
    assert "register_embedding" in steps
    assert all(uri.startswith(f"s3://{BUCKET}/") for uri in uris)
    assert content["models"] == [["ankle-boot", "mlflow-1", "production"]]
    assert content["secret"] == {"value": "planted-value"}
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    found = MlflowClient(tracking_uri=tracking)
    (version,) = found.search_model_versions("name = 'ankle-boot'")
    assert "champion" in found.get_model_version("ankle-boot", version.version).aliases
    parent = found.get_run(version.run_id)
    assert parent.info.status == "FINISHED"
    images = [f.path for f in found.list_artifacts(version.run_id, "images")]
    assert any(name.endswith(".png") for name in images)
    path = found.download_artifacts(
        version.run_id, "embedding/learned_embeds.safetensors", str(space.root)
    )
    assert Embedding.load(path).token == "<ankle-boot>"
    names = [each["Key"] for each in client(store).list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert any(name.startswith("mlflow/") and name.endswith(".png") for name in names)
    return content


def _backup_and_restore(host: str) -> None:
    """The commands of docs/operations.md; the dump is given back to an empty database."""
    name, _, port = host.partition(":")
    place = ["--no-defaults", "-h", name, "-P", port, "-u", "zenml", f"-p{PASSWORD}"]
    dump = _output(["mariadb-dump", *place, "--single-transaction", "zenml"])
    _output(["mariadb", *place, "restored"], dump)
    _output(["mariadb", *place, "-e", "drop database zenml"])


def _output(words: list[str], stdin: bytes | None = None) -> bytes:
    """Bytes: ZenML keeps compressed values in its tables."""
    done = subprocess.run(words, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
