"""The commands while MLflow's server is down: one sentence, and a CI's files are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.coti.pool.s3_server import free_port
from tests.e2e.conftest import Workspace, make_checkout

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A checkout whose stack tracks to a port that nobody listens on."""
    found = make_checkout(tmp_path_factory.mktemp("down"))
    found.extra["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    path = found.root / "configs" / "stacks" / "local.yaml"
    local = 'tracking_uri: "sqlite:///{root}/.coti/mlflow.db"'
    text = path.read_text(encoding="utf-8")
    assert local in text
    server = "{tracking_uri: 'http://127.0.0.1:%d', tracking_username: a, tracking_password: a}"
    path.write_text(text.replace(local, server % free_port()), encoding="utf-8")
    done = found.command("coti", "stack", "up", "local")
    assert done.returncode == 0, done.stdout + done.stderr
    return found


def test_every_concept_has_its_outcome(space: Workspace, tmp_path: Path) -> None:
    """A wrong run file beside two right ones; the summary and the JSON name all three."""
    folder = tmp_path / "concepts"
    folder.mkdir()
    for name in ("one", "two"):
        space.config(name).rename(folder / f"{name}.yaml")
    (folder / "wrong.yaml").write_text("parameters: {config: {no_such_key: 1}}\n")
    page = tmp_path / "summary.md"
    words = ("coti", "retrain", str(folder), "--json", "--summary", str(page))
    done = space.command(*words)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    outcomes = json.loads(done.stdout)
    assert [each["action"] for each in outcomes] == ["failed"] * 3
    for each in outcomes[:2]:
        assert each["reason"].startswith("MLflow failed (http://127.0.0.1:")
        assert "does not answer: Connection refused" in each["reason"]
        assert "`coti stack check`" in each["reason"]
    assert "no_such_key" in outcomes[2]["reason"]
    assert page.read_text(encoding="utf-8").count("| failed |") == 3


@pytest.mark.parametrize(
    "words",
    [
        ("registry", "list"),
        ("registry", "promote", "boots", "--why", "x"),
        ("retrain", "--dry-run", "one.yaml"),
    ],
)
def test_a_command_ends_with_one_line(space: Workspace, words: tuple[str, ...]) -> None:
    """Exit code 1; the traceback is in the log."""
    space.config("one")
    done = space.command("coti", *words)
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert len(said) == 1, done.stderr
    assert said[0].startswith("Error: MLflow failed (http://127.0.0.1:")
    logs = sorted((space.root / ".coti" / "logs").glob("*.log"))
    assert "Traceback" in logs[-1].read_text(encoding="utf-8")
