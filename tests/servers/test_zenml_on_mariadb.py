"""A ZenML server on MariaDB: logged in to, run on, backed up and restored.

MariaDB is Debian's (``apt-get install mariadb-server``), the server is started as in the image, by
``python -m ops.stack.servers zenml``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import make_checkout
from tests.servers.processes import (
    MARIADB,
    PASSWORD,
    api_key,
    application,
    log_in,
    mariadb,
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(MARIADB is None, reason="no MariaDB: apt-get install mariadb-server"),
]

ADMIN = "planted-admin-password"
CONTENT = (
    "import json; from zenml.client import Client\n"
    "c = Client()\n"
    "runs = [(str(r.id), r.status.value, sorted(r.steps)) for r in c.list_pipeline_runs().items]\n"
    "models = [(v.model.name, v.name, v.stage) for v in c.list_model_versions().items]\n"
    "secret = c.get_secret('probe').secret_values\n"
    "print(json.dumps({'runs': runs, 'models': models, 'secret': secret,"
    " 'store': c.zen_store.url}))"
)
"""Prints what a client finds on the server."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the server is told, as in k8s/base/zenml.yaml; the database runs."""
    folder = tmp_path_factory.mktemp("database")
    with mariadb(folder) as port:
        yield {
            "COTI_DB_HOST": f"127.0.0.1:{port}",
            "COTI_DB_PASSWORD": PASSWORD,
            "ZENML_CONFIG_PATH": str(folder / "server"),
            "ZENML_SERVER_JWT_SECRET_KEY": "planted-jwt-secret-of-thirty-two-bytes",
            "ZENML_SECRETS_STORE_ENCRYPTION_KEY": "planted-encryption-key-of-32-bytes",
            "ZENML_SECRETS_STORE_TYPE": "sql",
            "ZENML_SERVER_AUTO_ACTIVATE": "true",
            "ZENML_DEFAULT_USER_NAME": "admin",
            "ZENML_DEFAULT_USER_PASSWORD": ADMIN,
            "ZENML_ANALYTICS_OPT_IN": "false",
        }


def test_log_in_run_back_up_and_restore(settings: dict[str, str], tmp_path: Path) -> None:
    """A run of one cycle is found on the server, and on another one with the restored dump."""
    space = make_checkout(tmp_path)
    with application("zenml", tmp_path, settings, "/health") as address:
        key = api_key(address, ADMIN)
        log_in(space, address, key)
        for words in (
            ("coti", "stack", "up", "local"),
            ("zenml", "secret", "create", "probe", "--value=planted-value"),
        ):
            done = space.command(*words)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        space.run(space.config("run", controller={"max_cycles": 0}))
        checked = space.command("coti", "stack", "check")
        assert f"answers at {address.rsplit(':', 1)[0]}" in checked.stdout
        before = space.query(CONTENT)
    assert before["store"] == address
    ((_, status, steps),) = before["runs"]
    assert status == "completed"
    assert "train_cycle" in steps
    assert before["models"] == [["ankle-boot", "mlflow-1", "production"]]
    assert before["secret"] == {"value": "planted-value"}

    _backup_and_restore(settings["COTI_DB_HOST"], tmp_path)
    again = {**settings, "COTI_DB_NAME": "restored"}
    with application("zenml", tmp_path, again, "/health") as address:
        log_in(space, address, key)
        after = space.query(CONTENT)
    assert {**after, "store": ""} == {**before, "store": ""}
    log = (tmp_path / "zenml.log").read_text(encoding="utf-8", errors="replace")
    for planted in (PASSWORD, ADMIN, key, "planted-value", "planted-jwt", "planted-encryption"):
        assert planted not in log


def _backup_and_restore(host: str, folder: Path) -> None:
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
