"""What a checkpoint of the base model is worth: textual inversions on clean images, judged."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open

from assets.build.base_export import export
from assets.build.diffusion import STATE_FILE
from assets.build.inversion import MODELS, Inversion, Workbench, judge_generated
from assets.build.world import CLASS_NAMES, split_of_class

LADDER = MODELS / "ladder.csv"


def run_ladder(
    work: Path,
    concepts: Sequence[str] = ("ankle boot", "coat"),
    images: int = 200,
    table: Path = LADDER,
) -> None:
    """Invert each concept with the last checkpoint, judge it, and append a row to the table."""
    how = replace(Inversion(), samples=256)
    with safe_open(work / STATE_FILE, framework="pt") as stored:
        step = float(stored.metadata()["step"])
    with tempfile.TemporaryDirectory() as folder:
        export(work, Path(folder) / "base")
        bench = Workbench.load(Path(folder) / "base", how)
        for name in concepts:
            clean = split_of_class("pool", CLASS_NAMES.index(name))[:images]
            found = judge_generated(bench.generate(bench.learn(clean)), name)
            row = {
                "step": int(step),
                "concept": name,
                "guidance_scale": how.guidance_scale,
                **{key: round(value, 4) for key, value in found.items()},
            }
            print(row, flush=True)
            fresh = not table.is_file()
            with table.open("a", newline="") as stream:
                writer = csv.DictWriter(stream, list(row))
                if fresh:
                    writer.writeheader()
                writer.writerow(row)
