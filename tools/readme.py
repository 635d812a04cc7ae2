"""Put what was measured into the pages: `python -m tools.readme [quickstart|table1]`.

``quickstart`` (without a word) is the newest run's table and samples in README.md, ``table1`` the
headline of docs/results/table1.md in docs/experiments.md.

Numbers and images there come from here, never by hand.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

from ops.quiet import ROOT

__all__ = ["main"]

IMAGE = ROOT / "docs" / "images" / "cycles.png"
README = ROOT / "README.md"
EXPERIMENTS = ROOT / "docs" / "experiments.md"
RESULTS = ROOT / "docs" / "results" / "table1.md"


def main(part: str = "quickstart") -> None:
    """Write the part's numbers."""
    if part == "table1":
        write_headline()
    elif part == "quickstart":
        write_run()
    else:
        raise SystemExit(f"no part {part!r}: choose quickstart or table1.")


def write_headline(results: Path = RESULTS, page: Path = EXPERIMENTS) -> None:
    """Copy the results' table of means and the paper's beside it, under a heading each."""
    sections = results.read_text(encoding="utf-8").split("\n## ")
    chosen = [text for text in sections if text.startswith(("Mean over", "Beside the paper"))]
    parts = [text.split("\n", 1) for text in chosen]
    _put(page, "table1", "\n\n".join(f"**{name}**\n\n{text.strip()}" for name, text in parts))


def _put(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of that name."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    head, rest = page.read_text(encoding="utf-8").split(begin)
    page.write_text(f"{head}{begin}{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")


def write_run(run: Path = ROOT / "outputs" / "latest") -> None:
    """Write the image from the run's artifacts and the table from its ``cycles.csv``."""
    from coti.core.contact_sheet import contact_sheet
    from coti.report import cycles_table

    run = run.resolve()
    with (run / "cycles.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            {key: float(value) if value else None for key, value in row.items()}
            for row in csv.DictReader(file)
        ]
    for row in rows:
        for key in ("cycle", "pool_left", "picked", "train_size", "lr_stage"):
            row[key] = int(row[key] or 0)
        row["r_precision_candidates"] = int(row["r_precision_candidates"] or 0)
    text = cycles_table(rows, kept_cycle=_kept_cycle(run.name))
    table = "\n".join(line.rstrip() for line in text.splitlines())
    _put(README, "quickstart", f"```\n{table}\n```")

    images, count = _samples(run.name)
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(images, columns=count, cell=64).save(IMAGE, optimize=True)


def _kept_cycle(name: str) -> int:
    """The cycle that a pipeline run kept."""
    from zenml.client import Client

    steps = Client().get_pipeline_run(name).steps.values()
    ends = [step for step in steps if step.name.startswith("control_loop")]
    last = max(ends, key=lambda step: step.created)
    return int(last.outputs["decision"][0].load()["kept_cycle"])


def _samples(name: str) -> tuple[Any, int]:
    """Samples of a pipeline run, the untrained start first: the images and how many a row."""
    import torch
    from zenml.client import Client

    run = Client().get_pipeline_run(name)
    cycles = sorted(
        (step for step in run.steps.values() if step.name.startswith("train_cycle")),
        key=lambda step: step.created,
    )
    first = run.steps["initialize_embedding"].outputs["initial_samples"][0].load().images[:12]
    rows = [step.outputs["samples"][0].load().images[:12] for step in cycles]
    return torch.cat([first, *rows]), len(first)


if __name__ == "__main__":
    main(*sys.argv[1:])
