"""Memory of a training step on Stable Diffusion 2's shape at 512², and what fits 8 GB.

    python -m benchmarks.ti_memory

On a GPU: the peak of allocated and of reserved memory over some steps of
:func:`coti.inversion.trainer.train_cycle` in bf16, for batch 4 and for smaller configurations down
to batch 1 with gradient checkpointing, and that of encoding the images before them; what fits 8 GB
must fit in both. Without a GPU every row says "not measured"; the bytes of the
frozen weights, which are a fact of the shape, are printed all the same. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.result import machine, say, table
from coti.core.out_of_memory import GIB
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import load_text_to_image
from coti.inversion.families.random_base_model import networks, write_random
from coti.inversion.families.registry import architectures
from coti.inversion.latents import encode_latents
from coti.inversion.memory import weight_bytes
from coti.inversion.trainer import train_cycle
from coti.settings import ModelSettings, ScheduleSettings, TokenSettings, TrainSettings

IMAGES = 64
"""More than are encoded at once."""
ROWS: tuple[tuple[int, bool], ...] = ((4, False), (4, True), (2, False), (1, False), (1, True))
"""Batch size, and whether activations are recomputed."""
TOKEN = TokenSettings(placeholder_token="<bench>", initializer="photo", num_vectors=8)


def parameters(name: str) -> dict[str, int]:
    """Parameters of each part, counted without making a weight."""
    with torch.device("meta"):
        parts = dict(networks(architectures()[name]))
    return {part: sum(p.numel() for p in model.parameters()) for part, model in parts.items()}


def measure(name: str, steps: int) -> list[dict[str, Any]]:
    """Peaks in GiB of each row, on the GPU."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = write_random(name, Path(folder) / name)
        model = load_text_to_image(ModelSettings(base_model=str(path), dtype="bfloat16"))
    side = model.resolution
    images = torch.randint(0, 256, (IMAGES, 3, side, side), dtype=torch.uint8)
    start = Embedding.initial(model, TOKEN)
    torch.cuda.reset_peak_memory_stats()
    encode_latents(model, images)
    encoding = torch.cuda.max_memory_allocated() / GIB
    for batch, recompute in ROWS:
        torch.cuda.empty_cache()
        settings = TrainSettings(
            batch_size=batch,
            gradient_checkpointing=recompute,
            max_steps=steps,
            checkpoint_every=0,
        )
        # Its loop starts the count of peaks anew, after the images were encoded.
        train_cycle(model, images, None, start, settings, ScheduleSettings(), None, 0)
        rows.append(
            {
                "batch_size": batch,
                "gradient_checkpointing": recompute,
                "allocated": torch.cuda.max_memory_allocated() / GIB,
                "reserved": torch.cuda.max_memory_reserved() / GIB,
                "encoding": encoding,
                "weights": weight_bytes(model) / GIB,
            }
        )
    return rows


def report(result: dict[str, Any]) -> str:
    """Peaks on the GPU."""
    rows = [
        [
            str(row["batch_size"]),
            "yes" if row["gradient_checkpointing"] else "no",
            *(
                f"{row[name]:.2f} GiB" if name in row else "not measured"
                for name in ("allocated", "encoding", "reserved")
            ),
        ]
        for row in result["rows"]
    ]
    fits = [
        f"batch {row['batch_size']}" + (" with" if row["gradient_checkpointing"] else " without")
        for row in result["rows"]
        if "allocated" in row and max(row["allocated"], row["encoding"]) * (1 << 30) <= 8e9
    ]
    said = f"{fits[0]} gradient checkpointing" if fits else "none"
    least = f" The largest that fits 8 GB: {said}." if result["gpu"] == "measured" else ""
    head = ["batch", "gradient checkpointing", "allocated in a step", "encoding", "reserved"]
    return (
        f"{result['model']} at its resolution in bf16, {result['device']}; the frozen weights take "
        f"{result['weights_gib_bf16']:.2f} GiB.{least}\n\n{table(head, rows)}"
    )


def main() -> None:
    """Measure and say it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", default="sd2-base", choices=sorted(architectures()))
    parser.add_argument("--steps", type=int, default=5)
    given = parser.parse_args()
    counts = parameters(given.model)
    rows: list[dict[str, Any]] = [{"batch_size": b, "gradient_checkpointing": r} for b, r in ROWS]
    result = {
        "benchmark": "ti_memory",
        **machine(),
        "model": given.model,
        "parameters": counts,
        "weights_gib_bf16": 2 * sum(counts.values()) / GIB,
        "rows": measure(given.model, given.steps) if torch.cuda.is_available() else rows,
    }
    say(report(result), result)


if __name__ == "__main__":
    main()
