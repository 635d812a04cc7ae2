"""``coti ui``: the MLflow UI on what this repository's stack tracked."""

from __future__ import annotations

import os
import sys

import click

from cli.ports import require_port
from ops.quiet import quiet_terminal

__all__ = ["experiment_address", "run_address", "ui"]

SHOWN = 10
"""Most experiments whose addresses are printed."""
_AS_TRAINING = "?workflowType=machine_learning"
"""Without it MLflow's page shows what agents have: traces, sessions, judges."""


def experiment_address(experiment_id: str) -> str:
    """The path of the page with an experiment's training runs."""
    return f"/#/experiments/{experiment_id}/runs{_AS_TRAINING}"


def run_address(experiment_id: str, run_id: str) -> str:
    """The path of the page with a run's images, and their sliders, above its charts."""
    return f"/#/experiments/{experiment_id}/runs/{run_id}/model-metrics{_AS_TRAINING}"


@click.command()
@click.option("--run", "run_id", help="An MLflow run to open; the newest experiments without it.")
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=5000,
    help="Port on this machine.",
)
def ui(run_id: str | None, port: int) -> None:
    """Serve the MLflow UI on 127.0.0.1 and print the address of the run, or of each experiment.

    Under these addresses it shows training runs. Its own front page opens experiments as traces of
    agents, until "Model training" is chosen there.

    \b
    Examples:
      coti ui
      coti ui --run 0123456789abcdef0123456789abcdef --port 5001
    """
    require_port("127.0.0.1", port)
    quiet_terminal()
    from ops.tracking.active_tracker import active_tracker

    quiet_terminal(again=True)  # ZenML is imported now
    tracker = active_tracker()
    address = f"http://127.0.0.1:{port}"
    if run_id is not None:
        run = tracker.client.get_run(run_id)
        address += run_address(run.info.experiment_id, run_id)
    click.echo(f"MLflow UI: {address}  (Ctrl-C ends it)")
    if run_id is None:
        for each in tracker.client.search_experiments(order_by=["last_update_time DESC"])[:SHOWN]:
            click.echo(f"  {each.name}: {address}{experiment_address(each.experiment_id)}")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # MLflow's own, of its server's libraries
    words = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracker.uri]
    os.execv(sys.executable, [*words, "--host", "127.0.0.1", "--port", str(port)])
