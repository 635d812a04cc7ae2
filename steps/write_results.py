"""The experiment's CSV, Markdown and images; by the command itself, never by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from zenml import step
from zenml.client import Client

from coti.core.image_set import ImageSet
from coti.core.whole_files import temporary_folder, write_whole
from coti.experiments.figures import draw_figures
from coti.experiments.result_rows import FinishedRun
from coti.experiments.result_tables import write_csv, write_cycles_csv, write_markdown
from ops.stack.locations import ROOT

__all__ = ["draw_named", "write_results"]


@step(enable_cache=False)
def write_results(
    experiment: str,
    report: str,
    title: str,
    facts: list[str],
    output: str,
    labels: list[str],
    rows: list[str],
    cycles: list[str],
    samples: list[str],
    reals: list[str],
) -> Annotated[str, "page"]:
    """All lists have an entry a run, in the sweep's order; returns the page's path.

    The last four are ids of artifacts, not artifacts: ZenML 0.98 looks a step's inputs up page by
    page, in an order that ties leave open, and with some hundred of them it loses a few.
    """
    runs = [
        _finished(label, *map(_loaded, ids))
        for label, *ids in zip(labels, rows, cycles, samples, reals, strict=True)
    ]
    folder = (ROOT / output).resolve()
    write_csv(runs, folder / f"{experiment}.csv")
    if report in ("figure5", "figure6"):
        write_cycles_csv(runs, folder / f"{experiment}_cycles.csv")
    names = draw_named(report, experiment, runs, folder)
    page = folder / f"{experiment}.md"
    write_markdown(runs, page, title, facts, names, compared=report == "table1")
    return str(Path(output) / page.name)


def _loaded(artifact: str) -> Any:
    return Client().get_artifact_version(UUID(artifact)).load()


def _finished(
    label: str, row: dict[str, Any], cycles: list[dict[str, Any]], samples: ImageSet, real: ImageSet
) -> FinishedRun:
    return FinishedRun(str(row["concept"]), label, int(row["seed"]), row, cycles, samples, real)


def draw_named(report: str, experiment: str, runs: list[FinishedRun], folder: Path) -> list[str]:
    """Images with the experiment's name: several make one kind of report, side by side.

    Drawn elsewhere and moved, so that none is drawn over another experiment's.
    """
    found = []
    with temporary_folder() as drawn:
        for name in draw_figures(report, runs, drawn):
            new = experiment + name.removeprefix(report)
            write_whole(folder / new, (drawn / name).read_bytes())
            found.append(new)
    return found
