"""A tracking server that goes away in mid-run: one sentence, and the same command goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from mlflow import MlflowClient

from ops.registry.audit import entries
from tests.coti.pool.s3_server import Proxy
from tests.e2e.conftest import Workspace, make_workspace
from tests.e2e.learned import learned
from tests.servers.processes import tracking_server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHORT: dict[str, Any] = {"controller": {"max_cycles": 0}}
SERVER = "{{tracking_uri: '{}', tracking_username: any, tracking_password: any}}"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """What stands between the run and the server."""
    with tracking_server(tmp_path_factory.mktemp("mlflow")) as address:
        found = Proxy(address)
        found.start()
        yield found
        found.stop()


def test_the_server_gone_for_a_while(
    tmp_path_factory: pytest.TempPathFactory, proxy: Proxy
) -> None:
    """From the start of training on; back again, the embedding is the undisturbed run's."""
    space = make_workspace(tmp_path_factory.mktemp("gone"))
    _use_server(space, proxy.address)
    # It would wait for minutes, with growing pauses.
    space.extra["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
    config = space.config("run", **SHORT)
    outage = threading.Thread(target=_goes_away, args=(space, proxy))
    outage.start()
    done = space.command("zenml", "pipeline", "run", "coti_concept", "-c", str(config))
    outage.join()
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1, said[-2000:]
    assert "MLflow failed in mid-run" in said, said[-2000:]
    assert "Traceback" not in said
    assert not (space.root / "outputs" / "latest").exists()

    checked = space.command("coti", "stack", "check")
    assert checked.returncode == 1
    assert "does not answer" in checked.stdout
    proxy.down = False
    assert space.command("coti", "stack", "check").returncode == 0

    space.run(config)
    assert space.vectors() == learned(space, **SHORT)
    assert space.cached_steps()["train_cycle_0"] == "cached"
    _check_record(proxy.address)


def _use_server(space: Workspace, address: str) -> None:
    """Change the stack file of this checkout; the command brings the component up to date."""
    path = space.root / "configs" / "stacks" / "local.yaml"
    text = path.read_text(encoding="utf-8")
    local = 'tracking_uri: "sqlite:///{root}/.coti/mlflow.db"'
    assert local in text
    path.write_text(text.replace(local, SERVER.format(address)), encoding="utf-8")
    done = space.command("coti", "stack", "up", "local")
    assert done.returncode == 0, done.stdout + done.stderr


def _goes_away(space: Workspace, proxy: Proxy) -> None:
    space.wait_for_training()
    proxy.down = True


def _check_record(address: str) -> None:
    """One version, the champion, promoted once; one finished parent, no run left open."""
    client = MlflowClient(tracking_uri=address)
    (version,) = client.search_model_versions("name = 'ankle-boot'")
    champion = client.get_model_version_by_alias("ankle-boot", "champion")
    assert champion.version == version.version
    trail = [(each.action, each.version) for each in entries(client, "ankle-boot")]
    assert trail == [("promote", 1)]
    experiment = client.get_experiment_by_name("ankle boot")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.data.tags["coti.cycle"] == "parent"]
    assert [run.info.status for run in parents].count("FINISHED") == 1
    assert not [run for run in runs if run.info.status == "RUNNING"]
