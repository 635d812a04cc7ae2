"""Runs side by side in a real MLflow UI: `python -m tools.mlflow_screenshot` makes the image.

The finished runs of one experiment on chosen axes; without words those of the ablations. Needs
Debian's package ``chromium`` and the extra ``dev``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from coti.core.errors import RegistryError
from ops.quiet import ROOT, quiet_terminal
from tools.studio_screenshot import HOST, browser_page, free_port, wait_until_served

__all__ = ["choose", "comparison", "main", "tracking_ui"]

IMAGE = ROOT / "docs" / "images" / "mlflow.png"
PLOT = ".js-plotly-plot .parcoords"
"""What the page shows once it is drawn."""
WAIT = 300_000
"""Milliseconds."""


def comparison(client: Any, experiment: str, most: int = 50) -> str:
    """The page of the UI that compares the newest finished runs of an experiment.

    Args:
        client: an ``MlflowClient``.
        experiment: its name: a concept, or a sweep such as ``ablations``.
        most: runs.

    Raises:
        RegistryError: there is no such experiment, or it has not two finished runs.
    """
    found = client.get_experiment_by_name(experiment)
    runs = [] if found is None else client.search_runs(
        [found.experiment_id],
        "attributes.status = 'FINISHED' and tags.`coti.cycle` = 'parent'",
        max_results=most,
    )  # fmt: skip
    if len(runs) < 2:
        raise RegistryError(
            f"MLflow's experiment {experiment!r} has {len(runs)} finished runs: two are needed; "
            "name another, or run it again with other settings."
        )
    # As the UI itself writes it: JSON in the address.
    ids = quote(json.dumps([run.info.run_id for run in runs]))
    experiments = quote(json.dumps([found.experiment_id]))
    return f"/#/compare-runs?runs={ids}&experiments={experiments}"


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


def choose(page: Any, place: int, names: Sequence[str]) -> None:
    """Choose axes as a user would, by typing their names and clicking.

    Args:
        page: the comparison.
        place: 0 for the parameters, 1 for the metrics.
        names: in the order wanted.
    """
    box = page.locator("[role=tabpanel] [role=combobox]").nth(place)
    for name in names:
        box.click(force=True)
        box.fill(name, force=True)
        page.get_by_title(name, exact=True).last.click()
    page.keyboard.press("Escape")


def main(
    experiment: str = "ablations",
    parameters: Sequence[str] = ("selection.spread", "selection.batch", "token.num_vectors"),
    metrics: Sequence[str] = ("image_steps", "r_precision", "fd_judge"),
    path: Path = IMAGE,
    uri: str | None = None,
) -> None:
    """Write the screenshot; ``uri``: the active stack's tracking database without it."""
    quiet_terminal()
    from mlflow import MlflowClient

    from ops.tracking.active_tracker import active_tracker

    uri = uri or active_tracker().uri
    page_name = comparison(MlflowClient(tracking_uri=uri), experiment)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tracking_ui(uri) as address, browser_page(width=1400, height=900) as page:
        page.goto(address + page_name)
        page.locator(PLOT).first.wait_for(timeout=WAIT)
        for panel in ("Close", "Toggle sidebar"):
            button = page.get_by_label(panel, exact=True).first
            if button.is_visible():
                button.click()
        page.get_by_test_id("clear-button").click()
        choose(page, 0, parameters)
        choose(page, 1, metrics)
        page.mouse.click(5, 5)
        page.locator(PLOT).first.wait_for(timeout=WAIT)
        page.wait_for_timeout(2000)  # the plot is drawn anew, and nothing says when it is done
        page.screenshot(path=str(path))
    print(path)


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.mlflow_screenshot", description=__doc__)
    parser.add_argument("experiment", nargs="?", default="ablations")
    parser.add_argument("--parameters", nargs="+", default=argparse.SUPPRESS)
    parser.add_argument("--metrics", nargs="+", default=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, default=argparse.SUPPRESS)
    parser.add_argument("--uri", default=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main(**vars(_words()))
