"""``coti ui``: the MLflow UI on what this repository's stack tracked."""

from __future__ import annotations

import os
import sys

import click

from cli.ports import require_port
from ops.quiet import quiet_terminal

__all__ = ["ui"]


@click.command()
@click.option("--run", "run_id", help="An MLflow run to open; the newest experiments without it.")
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=5000,
    help="Port on this machine.",
)
def ui(run_id: str | None, port: int) -> None:
    """Serve the MLflow UI on 127.0.0.1 and print the address of the run.

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
        address += f"/#/experiments/{run.info.experiment_id}/runs/{run_id}"
    click.echo(f"MLflow UI: {address}  (Ctrl-C ends it)")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # MLflow's own, of its server's libraries
    words = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracker.uri]
    os.execv(sys.executable, [*words, "--host", "127.0.0.1", "--port", str(port)])
