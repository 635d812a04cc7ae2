"""``python -m ops.stack.servers mlflow|zenml``: the two servers, without a shell to start them.

Passwords come from the environment and go on in the environment, never on a command line that a
process list shows.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from coti.core.errors import ConfigError, CotiError

__all__ = ["prepare_accounts", "server_command", "server_environment"]


_MLFLOW_SECRETS = (
    "MLFLOW_AUTH_ADMIN_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "COTI_MLFLOW_USERNAME",
    "COTI_MLFLOW_PASSWORD",
)


def server_command(server: str, environment: Mapping[str, str]) -> list[str]:
    """The command that becomes the server.

    Raises:
        ConfigError: there is no such server.
    """
    host = environment.get("COTI_BIND", "0.0.0.0")
    if server == "mlflow":
        port = environment.get("COTI_PORT", "5000")
        words = ["--host", host, "--port", port, "--workers", "2", "--app-name", "basic-auth"]
        return ["-m", "mlflow", "server", *words]
    if server == "zenml":
        port = environment.get("COTI_PORT", "8080")
        application = "zenml.zen_server.zen_server_api:app"
        return ["-m", "uvicorn", application, "--host", host, "--port", port, "--no-server-header"]
    raise ConfigError(f"no server {server!r}: choose mlflow or zenml.")


def server_environment(server: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What the server is told: its database, and for MLflow the bucket behind it.

    Raises:
        ConfigError: a variable is missing; names it.
    """

    def needed(name: str) -> str:
        if not environment.get(name):
            raise ConfigError(f"{name} is not set: the {server} server needs it.")
        return environment[name]

    user = environment.get("COTI_DB_USER", server)
    database = environment.get("COTI_DB_NAME", server)
    password = quote(needed("COTI_DB_PASSWORD"), safe="")
    place = f"{user}:{password}@{needed('COTI_DB_HOST')}/{database}"
    if server == "mlflow":
        return {
            **environment,
            "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://{place}",
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{needed('COTI_S3_BUCKET')}/mlflow",
            "MLFLOW_SERVE_ARTIFACTS": "true",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "MLFLOW_SERVER_ALLOWED_HOSTS": needed("MLFLOW_SERVER_ALLOWED_HOSTS"),
            "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
            # Eight processes that wait for jobs which nobody here gives it.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **{name: needed(name) for name in _MLFLOW_SECRETS},
        }
    return {**environment, "ZENML_STORE_TYPE": "sql", "ZENML_STORE_URL": f"mysql://{place}"}


def prepare_accounts(environment: Mapping[str, str]) -> str:
    """MLflow's own accounts, beside its data: the one of runs is made, or given its password.

    Whoever logs in may read everything; what somebody makes, he and ``admin`` may change.

    Args:
        environment: of :func:`server_environment`.

    Returns:
        The path of MLflow's settings for this, a file that only we can read.
    """
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    uri = environment["MLFLOW_BACKEND_STORE_URI"]
    name, password = environment["COTI_MLFLOW_USERNAME"], environment["COTI_MLFLOW_PASSWORD"]
    store: Any = SqlAlchemyStore()
    store.init_db(uri)
    if store.has_user(name):
        store.update_user(name, password)
    else:
        store.create_user(name, password)
    settings = {
        "default_permission": "READ",
        "database_uri": uri.replace("%", "%%"),
        # A password's hash takes long on purpose: once a minute, and not at every request.
        "auth_cache_ttl_seconds": "60",
    }
    handle, path = tempfile.mkstemp(prefix="coti-mlflow-", suffix=".ini")
    with open(handle, "w", encoding="utf-8") as file:
        file.writelines(["[mlflow]\n", *(f"{key} = {value}\n" for key, value in settings.items())])
    return path


def main() -> None:
    """Become the server that the first argument names."""
    server = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        command = server_command(server, os.environ)
        environment = server_environment(server, os.environ)
        if server == "mlflow":
            environment["MLFLOW_AUTH_CONFIG_PATH"] = prepare_accounts(environment)
    except CotiError as error:
        raise SystemExit(f"Error: {error}") from error
    os.execve(sys.executable, [sys.executable, *command], environment)


if __name__ == "__main__":
    main()
