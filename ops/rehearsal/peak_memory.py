"""Most memory that each step of a whole run will hold: measured, and what more images add."""

from __future__ import annotations

import math

from coti.loop.plan import effective
from coti.settings import RunSettings
from ops.rehearsal.counts import Sizes
from ops.rehearsal.measured import Measured
from ops.rehearsal.units import units

__all__ = ["peaks"]

_HOLD = {
    "embed_pool": 2.0,
    "embed_references": 3.0,
    "train_cycle": 4.5,
    "score_generations": 4.8,
    "judge_cycle": 4.8,
}
"""Steps that hold images of their amount, and how many copies at once: as they are made and put
together, and while their mosaic is written (3.5 beside them, measured at 128 images of 512²) or
read (4.8)."""


def peaks(settings: RunSettings, whole: Sizes, measured: Measured) -> dict[str, tuple[int, int]]:
    """By step, most bytes of main memory and of the GPU's.

    What a step was seen to hold; for the images that it has more of, their bytes; and for a batch
    that was not full, as much more beside the weights as it will be larger.
    """
    found = {}
    image = 3 * int(measured.device["resolution"]) ** 2
    latent = 8 * math.prod(measured.device["latents"])
    full = units(settings, whole)
    last = max((each.work.get("image to latents", 0) for each in full), default=0)
    for name in dict.fromkeys(each.step for each in full):
        amount = max(each.amount for each in full if each.step == name)
        seen = [pair for run in measured.runs for pair in run.steps_of(name)]
        main = max((step.peak for _, step in seen), default=0)
        gpu = max((step.gpu for _, step in seen), default=0)
        had = max((each.amount for each, _ in seen), default=amount)
        main += round(max(0, amount - had) * image * _HOLD.get(name, 0.0))
        if name == "train_cycle":
            main += last * (latent + 2 * image)  # X_T, its parts and put together
        main += _unfilled(settings, name, amount, measured)
        found[name] = (main, gpu)
    return found


def _unfilled(settings: RunSettings, name: str, amount: int, measured: Measured) -> int:
    """What full batches of an encoder take more than those that were seen."""
    batches = {
        "embed_pool": effective(settings).scorer.batch_size,
        "score_generations": effective(settings).scorer.batch_size,
        "embed_references": settings.evaluation.batch_size,
        "judge_cycle": settings.evaluation.batch_size,
    }
    if name not in batches:
        return 0
    seen = [
        (max(each.amount for each in samples), step)
        for run in measured.runs
        for _, step in run.steps_of(name)[-1:]
        for kind, samples in step.work.items()
        if kind.endswith("features")
    ]
    largest, step = max(seen, key=lambda each: each[0], default=(0, None))
    if step is None or not largest:
        return 0
    will = min(batches[name], amount)
    return round(max(0, step.peak - step.before) * max(0.0, will / largest - 1))
