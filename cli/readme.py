"""Put the newest run into the README: its table and its samples. `python -m cli.readme`.

Numbers and pictures in the README come from here, never by hand.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from cli.quiet import ROOT

__all__ = ["main"]

PICTURE = ROOT / "docs" / "images" / "cycles.png"
BEGIN, END = "<!-- quickstart:begin -->\n", "<!-- quickstart:end -->"


def main(run: Path = ROOT / "outputs" / "latest") -> None:
    """Write the picture from the run's artifacts and the table from its ``cycles.csv``."""
    from coti.images import contact_sheet
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
    table = "\n".join(line.rstrip() for line in cycles_table(rows).splitlines())
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    readme.write_text(f"{head}{BEGIN}```\n{table}\n```\n{END}{tail}", encoding="utf-8")

    images, count = _samples(run.name)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(images, columns=count, cell=64).save(PICTURE, optimize=True)


def _samples(name: str) -> tuple[Any, int]:
    """Samples of a pipeline run, the untrained start first: the pictures and how many a row."""
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
    main()
