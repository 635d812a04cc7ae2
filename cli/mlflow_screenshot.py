"""Two runs side by side in a real MLflow UI: `python -m cli.mlflow_screenshot` makes the picture.

Needs two finished runs of one concept, Debian's package ``chromium`` and the extra ``dev``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cli.quiet import ROOT, quiet_terminal
from cli.studio_screenshot import HOST, browser_page, free_port, wait_until_served
from coti.errors import RegistryError

__all__ = ["comparison", "main", "tracking_ui"]

PICTURE = ROOT / "docs" / "images" / "mlflow.png"
COMPARED = "Parallel Coordinates Plot"
"""What the page shows once it is drawn."""


def comparison(client: Any) -> str:
    """The page of the UI that compares the newest two finished runs of a concept.

    Args:
        client: an ``MlflowClient``.

    Raises:
        RegistryError: no concept has two finished runs.
    """
    for experiment in client.search_experiments(order_by=["last_update_time DESC"]):
        runs = client.search_runs(
            [experiment.experiment_id],
            "attributes.status = 'FINISHED' and tags.`coti.cycle` = 'parent'",
            max_results=2,
        )
        if len(runs) == 2:
            # As the UI itself writes it: JSON in the address.
            ids = quote(json.dumps([run.info.run_id for run in runs]))
            experiments = quote(json.dumps([experiment.experiment_id]))
            return f"/#/compare-runs?runs={ids}&experiments={experiments}"
    raise RegistryError("no concept has two finished runs: `zenml pipeline run coti_concept`.")


@contextmanager
def tracking_ui(uri: str, seconds: float = 300.0) -> Iterator[str]:
    """Inside, MLflow's UI is served on a free port of this machine; gives its address."""
    port = free_port()
    words = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--workers", "1"]
    process = subprocess.Popen(
        [*words, "--host", HOST, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://{HOST}:{port}"
    try:
        wait_until_served(process, f"{address}/health", "MLflow", seconds)
        yield address
    finally:
        process.terminate()
        process.wait()


def main(path: str | Path = PICTURE, uri: str | None = None) -> None:
    """Write the screenshot; ``uri``: the active stack's tracking database without it."""
    path = Path(path)
    quiet_terminal()
    from mlflow import MlflowClient

    from steps.tracking import tracking_uri

    uri = uri or tracking_uri()
    page_name = comparison(MlflowClient(tracking_uri=uri))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tracking_ui(uri) as address, browser_page(height=1800) as page:
        page.goto(address + page_name)
        page.get_by_text(COMPARED).first.wait_for(timeout=300_000)
        page.locator(".js-plotly-plot .parcoords").first.wait_for(timeout=300_000)
        page.screenshot(path=str(path))
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:3])
