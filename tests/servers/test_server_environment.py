"""What the two servers are told, without starting them."""

from __future__ import annotations

import pytest

from coti.core.errors import ConfigError
from ops.stack.servers import server_command, server_environment

GIVEN = {
    "COTI_DB_HOST": "database:5432",
    "COTI_DB_PASSWORD": "p@ss/word",
    "COTI_S3_BUCKET": "bucket",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "admin's word",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "word of sessions",
    "COTI_MLFLOW_USERNAME": "runs",
    "COTI_MLFLOW_PASSWORD": "word of runs",
    "PATH": "/bin",
}


@pytest.mark.parametrize("before", [{}, {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true"}])
def test_mlflow_unpickles_nothing(before: dict[str, str]) -> None:
    """Whatever the environment says; files are served from the bucket by the server."""
    told = server_environment("mlflow", {**GIVEN, **before})
    assert told["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert told["MLFLOW_SERVE_ARTIFACTS"] == "true"
    assert told["MLFLOW_ARTIFACTS_DESTINATION"] == "s3://bucket/mlflow"
    assert told["MLFLOW_SERVER_ALLOWED_HOSTS"] == "mlflow"
    assert told["PATH"] == "/bin"


def test_a_password_is_quoted_and_on_no_command_line() -> None:
    """In the database's address, where its signs would mean something else."""
    mlflow, zenml = (server_environment(name, GIVEN) for name in ("mlflow", "zenml"))
    place = "p%40ss%2Fword@database:5432"
    assert mlflow["MLFLOW_BACKEND_STORE_URI"] == f"postgresql+psycopg2://mlflow:{place}/mlflow"
    assert zenml["ZENML_STORE_URL"] == f"mysql://zenml:{place}/zenml"
    for name in ("mlflow", "zenml"):
        assert "word" not in " ".join(server_command(name, GIVEN))


@pytest.mark.parametrize("missing", sorted(set(GIVEN) - {"PATH"}))
def test_what_is_missing_is_named(missing: str) -> None:
    """MLflow needs all of it."""
    given = {name: value for name, value in GIVEN.items() if name != missing}
    with pytest.raises(ConfigError, match=f"{missing} is not set: the mlflow server needs it"):
        server_environment("mlflow", given)


def test_mlflow_asks_who_is_there() -> None:
    """Its app with accounts, whose administrator has a name that everybody knows and no default."""
    words = server_command("mlflow", GIVEN)
    assert words[words.index("--app-name") + 1] == "basic-auth"
    assert server_environment("mlflow", GIVEN)["MLFLOW_AUTH_ADMIN_USERNAME"] == "admin"


def test_there_are_two_servers() -> None:
    """Another name is an error, not a guess."""
    with pytest.raises(ConfigError, match="no server 'apache'"):
        server_command("apache", GIVEN)
