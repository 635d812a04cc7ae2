"""How much of everything a run does, step by step: what its settings and its images come to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from coti.generation.sampler import SOLVER_STEP
from coti.inversion.latents import DECODING, ENCODING
from coti.inversion.trainer import OPTIMIZER_STEP
from coti.loop.plan import effective, selects_at
from coti.pool.pool_images import READING
from coti.settings import RunSettings
from ops.rehearsal.counts import Sizes

__all__ = ["Units", "earliest_end", "generated_images", "units"]

_OF_SEEDS = frozenset({"gather_features", "finetune_aesthetic_scorer", "preflight"})
"""Steps whose work is in proportion to the seeds: they, and what is made of them, are looked at."""
_EACH = frozenset(
    {"ingest_pool", "embed_pool", "embed_references", "score_pool", "score_generations"}
    | {"judge_cycle"}
)
"""Steps all of whose work is in proportion to their amount."""
_FIXED = frozenset(
    {"initialize_embedding", "ingest_pool", "load_seeds", "embed_references", "judge_cycle"}
    | {"reach_verdict", "register_embedding"}
)
"""Steps that take as long however many images there are, but for what is told as work."""


@dataclass(frozen=True)
class Units:
    """One step of a run, as far as its settings and images say how long it takes."""

    step: str
    amount: int
    """What else of it than work grows with: images or rows."""
    work: dict[str, int] = field(default_factory=dict)
    """Of a kind, how much where its settings say so."""
    grows: bool = True
    """Whether what it takes beside its work is in proportion to ``amount``."""
    other: int = 0
    """Images that all other work is in proportion to; 0: it is always as much."""


def units(settings: RunSettings, sizes: Sizes, early: bool = False) -> list[Units]:
    """Every step of a run, in the order of the pipeline.

    Args:
        settings: as in a run file.
        sizes: of the images that there are.
        early: as soon as the schedule and the controller may end; else with all steps and cycles.
    """
    run = effective(settings)
    if early:
        run = earliest_end(run)
    return [*_before(run, sizes), *_cycles(run, sizes), *_after(sizes)]


def earliest_end(run: RunSettings) -> RunSettings:
    """Of :func:`coti.loop.plan.effective` settings: as few steps and cycles as φ may leave of them.

    φ ends a cycle on its plateau, or after a fall at each rate; a run by the controller's patience.
    """
    train, controller = run.train, run.controller
    if run.schedule.dynamic and run.schedule.stop == "phi" and train.phi_unit == "steps":
        looks = min(run.schedule.plateau_evaluations, len(train.learning_rates) + 1)
        train = replace(train, max_steps=min(train.max_steps, looks * train.phi_every))
    if run.schedule.stop == "dvar":
        train = replace(train, max_steps=min(train.max_steps, run.schedule.dvar_window + 1))
    if controller.patience is not None:
        cycles = min(controller.max_cycles, controller.patience)
        controller = replace(controller, max_cycles=cycles)
    return replace(run, train=train, controller=controller)


def generated_images(settings: RunSettings, sizes: Sizes) -> int:
    """Images that a run generates, all steps and cycles done."""
    return sum(each.work.get(DECODING, 0) for each in units(settings, sizes))


def _before(run: RunSettings, sizes: Sizes) -> Iterator[Units]:
    samples = run.generation.sample_images
    yield Units("initialize_embedding", samples, _generating(run, samples), grows=False)
    yield _of("ingest_pool", sizes.inputs)
    yield _of("validate_pool", sizes.inputs)
    yield _of("load_seeds", sizes.seeds)
    yield _of("shard_pool", sizes.accepted)
    shard, left = run.pool_rules.feature_shard, sizes.accepted
    for _ in range(max(1, math.ceil(left / shard))):
        yield _of("embed_pool", min(shard, left))
        left -= shard
    yield _of("gather_features", sizes.accepted, sizes.seeds)
    yield _of("embed_references", sizes.references)
    yield _of("fit_concept_scorer", sizes.accepted)


def _cycles(run: RunSettings, sizes: Sizes) -> Iterator[Units]:
    in_training = sizes.seeds
    for cycle in range(run.controller.max_cycles + 1):
        yield _of("finetune_aesthetic_scorer", sizes.accepted, sizes.seeds)
        if cycle == 0:
            yield _of("preflight", sizes.accepted, sizes.seeds)
        if selects_at(cycle, run):
            yield _of("score_pool", sizes.accepted)
            yield _of("select_batch", sizes.accepted)
            yield _of("fit_concept_scorer", sizes.accepted)
            added = run.baseline_images if run.growth == "at_once" else run.added_in(cycle)
            in_training += min(added, sizes.accepted + sizes.seeds - in_training)
        yield _training(run, in_training, in_training - sizes.seeds)
        yield _of("score_generations", run.generation.cycle_images)
        yield _of("judge_cycle", run.generation.cycle_images)
        yield _of("control_loop", run.generation.cycle_images)
        yield _of("track_cycle", sizes.accepted)


def _after(sizes: Sizes) -> Iterator[Units]:
    yield _of("reach_verdict", sizes.accepted)
    yield _of("register_embedding", sizes.seeds)
    yield _of("write_outputs", sizes.inputs)


def _of(step: str, amount: int, seeds: int = 0) -> Units:
    other = amount if step in _EACH else seeds if step in _OF_SEEDS else 0
    return Units(step, max(0, amount), grows=step not in _FIXED, other=other)


def _training(run: RunSettings, images: int, selected: int) -> Units:
    train, generation = run.train, run.generation
    a_step = train.batch_size * train.gradient_accumulation_steps
    every = train.phi_every
    if train.phi_unit == "epochs":
        every = max(1, math.ceil(every * images / a_step))
    seen = train.max_steps // every * generation.phi_images
    generated = seen + generation.cycle_images + generation.sample_images
    work = {
        OPTIMIZER_STEP: train.max_steps * a_step,
        ENCODING: images * (2 if train.horizontal_flip else 1),
        READING: selected,
        **_generating(run, generated),
    }
    return Units("train_cycle", generation.cycle_images, work, other=seen)


def _generating(run: RunSettings, images: int) -> dict[str, int]:
    return {SOLVER_STEP: images * run.generation.num_inference_steps, DECODING: images}
