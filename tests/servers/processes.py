"""Database and application servers, started for a test and stopped after it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.coti.pool.s3_server import free_port
from tests.e2e.conftest import Workspace
from tests.warm_start import elsewhere

__all__ = [
    "MARIADB",
    "PASSWORD",
    "POSTGRES",
    "api_key",
    "application",
    "log_in",
    "mariadb",
    "postgres",
    "tracking_server",
]

PASSWORD = "planted-database-password"
ROOT = Path(__file__).resolve().parents[2]


def _postgres_folder() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


POSTGRES = _postgres_folder()
"""Where Debian's PostgreSQL has its programs; None without it."""
MARIADB = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
"""Debian's MariaDB server; None without it."""


@contextlib.contextmanager
def _running(words: Sequence[str], log: Path, env: Mapping[str, str]) -> Iterator[None]:
    with log.open("ab") as file:
        # Not here: a ZenML server reads the repository of the folder that it is started in.
        process = subprocess.Popen(
            words, stdout=file, stderr=file, env=dict(env), cwd=log.parent, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _until(works: Callable[[], bool], log: Path, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if works():
            return
        time.sleep(0.5)
    raise TimeoutError(log.read_text(errors="replace")[-3000:])


def _succeeds(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _run(*words: str, stdin: str | None = None) -> str:
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words[0]}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[int]:
    """PostgreSQL with a database ``mlflow`` of the user ``mlflow``; the port."""
    assert POSTGRES is not None
    data, port = folder / "pg", free_port()
    # The server refuses to run as root, and the temporary folder is root's alone.
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    data.mkdir(parents=True)
    if as_user:
        for each in [data, *data.parents]:
            if not each.stat().st_mode & 0o001:
                each.chmod(0o755)
        shutil.chown(data, "postgres", "postgres")
        data.chmod(0o700)
    _run(*as_user, str(POSTGRES / "initdb"), "-D", str(data), "-A", "scram-sha-256", "-U", "root",
         "--pwfile", _password_file(folder))  # fmt: skip
    log = folder / "postgres.log"
    words = [*as_user, str(POSTGRES / "postgres"), "-D", str(data), "-p", str(port),
             "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]  # fmt: skip
    with _running(words, log, os.environ):
        place = f"postgresql://root:{PASSWORD}@127.0.0.1:{port}/postgres"
        _until(lambda: _succeeds("psql", place, "-c", "select 1"), log)
        _run("psql", place, "-c", f"create role mlflow login password '{PASSWORD}'")
        _run("psql", place, "-c", "create database mlflow owner mlflow")
        yield port


def _password_file(folder: Path) -> str:
    path = folder / "password"
    path.write_text(PASSWORD)
    path.chmod(0o644)
    return str(path)


@contextlib.contextmanager
def mariadb(folder: Path) -> Iterator[int]:
    """MariaDB with the databases ``zenml`` and ``restored`` of the user ``zenml``; the port."""
    assert MARIADB is not None
    data, port, socket = folder / "maria", free_port(), f"/tmp/coti-{os.getpid()}.sock"
    user = ["--user=root"] if os.getuid() == 0 else []
    _run("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db",
         "--auth-root-authentication-method=normal", *user)  # fmt: skip
    log = folder / "mariadb.log"
    words = [MARIADB, "--no-defaults", f"--datadir={data}", f"--port={port}", *user,
             f"--socket={socket}", "--bind-address=127.0.0.1"]  # fmt: skip
    with _running(words, log, os.environ):
        _until(lambda: _succeeds("mariadb-admin", "--no-defaults", f"-S{socket}", "ping"), log)
        sql = (
            "create database zenml character set utf8mb4;"
            "create database restored character set utf8mb4;"
            f"create user 'zenml'@'127.0.0.1' identified by '{PASSWORD}';"
            "grant all on zenml.* to 'zenml'@'127.0.0.1';"
            "grant all on restored.* to 'zenml'@'127.0.0.1';"
        )
        _run("mariadb", "--no-defaults", f"-S{socket}", "-uroot", stdin=sql)
        yield port


@contextlib.contextmanager
def application(server: str, folder: Path, env: Mapping[str, str], health: str) -> Iterator[str]:
    """``python -m ops.stack.servers SERVER``, as in the image; its address once it is healthy."""
    port = free_port()
    whole = {**elsewhere(os.environ), "PYTHONPATH": str(ROOT), "COTI_BIND": "127.0.0.1",
             "COTI_PORT": str(port), **env}  # fmt: skip
    words = [sys.executable, "-m", "ops.stack.servers", server]
    with _serving(words, folder / f"{server}.log", whole, port, health) as address:
        yield address


@contextlib.contextmanager
def tracking_server(folder: Path) -> Iterator[str]:
    """An MLflow server on SQLite with its files in ``folder``; its address."""
    port = free_port()
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
             "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
             "--artifacts-destination", str(folder / "files")]  # fmt: skip
    # Without the eight processes that wait for jobs, as in the image (ops/stack/servers.py).
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with _serving(words, folder / "mlflow.log", environment, port, "/health") as address:
        yield address


@contextlib.contextmanager
def _serving(
    words: Sequence[str], log: Path, env: Mapping[str, str], port: int, health: str
) -> Iterator[str]:
    """The address of a server, once it says that it is well."""
    import requests

    address = f"http://127.0.0.1:{port}"
    with _running(words, log, env):

        def healthy() -> bool:
            with contextlib.suppress(requests.RequestException):
                return bool(requests.get(address + health, timeout=5).ok)
            return False

        _until(healthy, log, 600)
        yield address


def api_key(address: str, password: str) -> str:
    """The key of a service account of a ZenML server, made with its administrator's password."""
    import requests

    login = {"username": "admin", "password": password}
    token = _json(requests.post(f"{address}/api/v1/login", data=login, timeout=60))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    accounts = f"{address}/api/v1/service_accounts"
    account = _json(
        requests.post(
            accounts, json={"name": "retrain", "active": True}, headers=headers, timeout=60
        )
    )
    keys = f"{accounts}/{account['id']}/api_keys"
    made = _json(requests.post(keys, json={"name": "first"}, headers=headers, timeout=60))
    return str(made["body"]["key"])


def _json(answer: Any) -> Any:
    assert answer.ok, answer.text
    return answer.json()


def log_in(space: Workspace, address: str, key: str) -> None:
    """The key is asked for, and never on the command line."""
    done = space.command("zenml", "login", address, "--api-key", stdin=f"{key}\n")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert key not in done.stdout + done.stderr
