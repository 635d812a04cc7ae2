"""One run with all that a cluster has but the cluster.

ZenML's server on MariaDB, MLflow's on PostgreSQL, artifacts and images on S3 (SeaweedFS), each
started as in the image. What was run is found by other clients than the one that ran it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from coti.inversion.adapters.embedding import Embedding
from tests.coti.pool.s3_server import ACCESS, SECRET, client, s3_server
from tests.e2e.conftest import make_checkout
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
RUNS = (
    "import json; from zenml.client import Client\n"
    "c = Client(); runs = c.list_pipeline_runs().items\n"
    "print(json.dumps([[r.status.value, sorted(r.steps), [a.uri for a in"
    " r.steps['train_cycle'].outputs['embedding']]] for r in runs]))"
)
LOGIN = {
    "MLFLOW_TRACKING_USERNAME": "coti",
    "MLFLOW_TRACKING_PASSWORD": "planted-password-of-runs",
}


def test_a_run_on_both_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run, its images and the registered word are on the servers, the files in the bucket."""
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
            _run_and_look(tmp_path, address, tracking, store, keys, monkeypatch)


def _run_and_look(
    folder: Path,
    address: str,
    tracking: str,
    store: str,
    keys: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
    log_in(space, address, api_key(address, ADMIN))
    done = space.command("coti", "stack", "up", "s3")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    checked = space.command("coti", "stack", "check")
    assert checked.returncode == 0, checked.stdout
    space.run(space.config("run", controller={"max_cycles": 0}))

    ((status, steps, uris),) = space.query(RUNS)
    assert status == "completed"
    assert "register_embedding" in steps
    assert all(uri.startswith(f"s3://{BUCKET}/") for uri in uris)
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
        version.run_id, "embedding/learned_embeds.safetensors", str(folder)
    )
    assert Embedding.load(path).token == "<ankle-boot>"
    names = [each["Key"] for each in client(store).list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert any(name.startswith("mlflow/") and name.endswith(".png") for name in names)
