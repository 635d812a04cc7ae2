"""Put the newest run's table and samples into README.md: ``python -m tools.readme``.

Numbers and images there come from here, never by hand.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from ops.quiet import ROOT

__all__ = ["main"]

IMAGE = ROOT / "docs" / "images" / "cycles.png"
README = ROOT / "README.md"


def _put(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of that name."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    head, rest = page.read_text(encoding="utf-8").split(begin)
    page.write_text(f"{head}{begin}{text}\n{end}{rest.split(end)[1]}", encoding="utf-8")


def main(run: Path = ROOT / "outputs" / "latest") -> None:
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
    """A row of seed images, then samples of a pipeline run, the untrained start first: the images
    and how many a row."""
    import torch
    from zenml.client import Client

    run = Client().get_pipeline_run(name)
    cycles = sorted(
        (step for step in run.steps.values() if step.name.startswith("train_cycle")),
        key=lambda step: step.created,
    )
    seeds = run.steps["load_seeds"].outputs["seed_images"][0].load().images[:12]
    first = run.steps["initialize_embedding"].outputs["initial_samples"][0].load().images
    rows = [step.outputs["samples"][0].load().images for step in cycles]
    return torch.cat([seeds, *(row[: len(seeds)] for row in (first, *rows))]), len(seeds)


if __name__ == "__main__":
    main()
