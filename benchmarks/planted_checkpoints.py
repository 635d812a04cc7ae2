"""Whether ``coti rank`` finds the order of checkpoints whose faults are known, on real trainings.

    python -m benchmarks.planted_checkpoints --seeds 0 1 2

For each seed the bundled concept is learned well (150 right images, 210 steps of 16 at the paper's
rate, averaged), too shortly (10 of these steps), too hard (a thousand times the rate), and of two
images alone; a broken checkpoint is the good one, its numbers in another order. References and the
training set of the good one are all that the ranking is given. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from assets.build.make_pool import clean_images
from benchmarks.result import machine, say, table
from coti.core.fitting import Fit
from coti.core.images import from_pil, read_image
from coti.core.seeding import derived_seed
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.inversion.trainer import train_cycle
from coti.loop.load_models import load_judge, load_ssl_judge, loader
from coti.pool.references import read_references
from coti.ranking.checkpoint_kinds import Checkpoint
from coti.ranking.ranking import Judges, Protocol, Ranking, rank
from coti.ranking.results import lines_of
from coti.settings import (
    EvaluationSettings,
    GenerationSettings,
    ModelSettings,
    ScheduleSettings,
    TokenSettings,
    TrainSettings,
)
from ops.stack.locations import ROOT

POOL = ROOT / "assets" / "pools" / "ankle_boot"
TRAIN = TrainSettings(
    max_steps=210, batch_size=16, learning_rates=(5e-3,), timesteps="stratified", average=0.15
)
TOKEN = TokenSettings("<boot>", "object", 4)
Start = tuple[TextToImageModel, torch.Tensor, int]
"""The model, right images, a seed."""


def _learned(count: int = 150, **changes: Any) -> Callable[[Start], Embedding]:
    def learn(start: Start) -> Embedding:
        model, images, seed = start
        train = replace(TRAIN, **changes)
        initial = Embedding.initial(model, TOKEN, derived_seed(seed, "initializer"), "ankle boot")
        return train_cycle(
            model, images[:count], None, initial, train, ScheduleSettings(dynamic=False), None,
            derived_seed(seed, "train", 0), token=TOKEN,
        ).embedding  # fmt: skip

    return learn


PLANTED: dict[str, Callable[[Start], Embedding]] = {
    "good": _learned(),
    "undertrained": _learned(max_steps=10),
    "overtrained": _learned(learning_rates=(5.0,)),
    "two images": _learned(count=2, max_steps=600),
}
"""By what is wrong with them; the broken one is made of the good one."""


def _broken(good: Embedding, seed: int) -> Embedding:
    generator = torch.Generator().manual_seed(seed)
    parts = [
        part.flatten()[torch.randperm(part.numel(), generator=generator)].reshape(part.shape)
        for part in good.parts
    ]
    return good.with_parts(parts)


def ranked(model: TextToImageModel, judges: Judges, seed: int) -> Ranking:
    """The planted checkpoints of a seed, in the order that the ranking finds."""
    paths = clean_images(POOL, 150, seed)
    right = torch.cat([from_pil([read_image(path)], model.resolution, Fit()) for path in paths])
    found = {name: plant((model, right, seed)) for name, plant in PLANTED.items()}
    found["broken"] = _broken(found["good"], seed)
    return rank(
        [
            Checkpoint(name, "embedding", Path(name), embedding, TOKEN.placeholder_token)
            for name, embedding in found.items()
        ],
        judges,
        model=model,
        settings=GenerationSettings(guidance_scale=1.5),
        protocol=Protocol(images=96, seed=seed),
        references=read_references(POOL / "references", model.resolution, Fit())[:500],
        training=right,
    )


def main() -> None:
    """Rank the planted checkpoints of each seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    torch.set_num_threads(1)
    base = ModelSettings(str(ROOT / "assets/models/base"), device="cpu", dtype="float32")
    model = load_text_to_image(base)
    evaluation, load = EvaluationSettings(), loader(lambda name: str(ROOT / name))
    blind = load_ssl_judge(evaluation, load)
    assert blind is not None
    judges = Judges(load_judge(evaluation, load), blind)
    rows, orders = [], []
    for seed in given.seeds:
        ranking = ranked(model, judges, seed)
        print("\n".join([f"seed {seed}: {ranking.sentence}", *lines_of(ranking)]))
        orders.append([row.checkpoint.label for row in ranking.rows])
        rows.append(
            [str(seed), *orders[-1], ", ".join(r.checkpoint.label for r in ranking.as_good)]
        )
    head = ["seed", *(str(place) for place in range(1, len(PLANTED) + 2)), "as good as the first"]
    say(table(head, rows), {"benchmark": "planted_checkpoints", **machine(), "orders": orders})


if __name__ == "__main__":
    main()
