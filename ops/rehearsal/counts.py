"""The least counts that exercise a run at true size, and more of what turned out to be cheap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from coti.generation.sampler import SOLVER_STEP
from coti.inversion.trainer import OPTIMIZER_STEP
from coti.settings import RunSettings

__all__ = ["Sizes", "least_counts", "least_sizes", "more_counts", "more_sizes"]

_INPUTS, _REFERENCES, _SEEDS = 24, 16, 3
"""Images of the pool, of the references and of the seeds that a rehearsal begins with."""
_MOST = 512
"""Images of either that it looks at however cheap they are."""
_STEPS = 20
"""Optimizer steps of a cycle, likewise."""


@dataclass(frozen=True)
class Sizes:
    """How many images a run finds."""

    inputs: int
    """Of the pool, good ones and others."""
    accepted: int
    """Of these; 0 where it is not known yet."""
    references: int
    seeds: int


def least_sizes(whole: Sizes) -> Sizes:
    """A handful of everything."""
    return replace(
        whole,
        inputs=min(whole.inputs, _INPUTS),
        references=min(whole.references, _REFERENCES),
        seeds=min(whole.seeds, _SEEDS),
    )


def least_counts(settings: RunSettings) -> RunSettings:
    """Two cycles of two steps each, one φ, one batch of generations in two solver steps.

    Resolution, widths and batch sizes are true.

    Limits that the handful of images cannot keep are lifted: what they say of the whole is checked
    apart. Ratings and a review of one's own are left out, whose files are not among them.
    """
    generation = settings.generation
    return replace(
        settings,
        baseline_images=min(settings.baseline_images, 8),
        selection=replace(
            settings.selection, batch=min(settings.selection.batch, 4), concept_gate=0.0,
            aesthetic_gate=0.0, review=None,
        ),
        aesthetic=replace(settings.aesthetic, user_ratings=None),
        pool_rules=replace(
            settings.pool_rules, min_accepted=1, max_quarantined_share=1.0, drift="off"
        ),
        train=replace(
            settings.train,
            max_steps=min(settings.train.max_steps, 2),
            phi_every=min(settings.train.phi_every, 2),
            phi_unit="steps",
            checkpoint_every=min(settings.train.checkpoint_every, 1),
        ),
        generation=replace(
            generation,
            num_inference_steps=min(generation.num_inference_steps, 2),
            phi_images=min(generation.phi_images, 2),
            cycle_images=min(generation.cycle_images, max(2, generation.batch_size)),
            sample_images=min(generation.sample_images, 1),
        ),
        controller=replace(
            settings.controller, max_cycles=min(settings.controller.max_cycles, 1), patience=None
        ),
    )  # fmt: skip


def more_counts(
    settings: RunSettings, least: RunSettings, rates: Mapping[str, float], seconds: float
) -> RunSettings:
    """The counts of a second run: of cheap work more than the least, of dear work less.

    Args:
        settings: of the whole run.
        least: of :func:`least_counts`.
        rates: seconds of one unit by kind of work, as the first run took them.
        seconds: that more of one kind may take, so that its rate is known better.
    """
    a_step = settings.train.batch_size * settings.train.gradient_accumulation_steps
    steps = _affordable(rates.get(OPTIMIZER_STEP, 0.0) * a_step, 1, _STEPS, seconds)
    steps = min(settings.train.max_steps, steps)
    generation = least.generation
    a_solver_step = rates.get(SOLVER_STEP, 0.0)
    images = min(settings.generation.cycle_images, 2 * settings.generation.batch_size)
    solver_steps = _affordable(
        a_solver_step * images, 0, settings.generation.num_inference_steps, seconds
    )
    if solver_steps < generation.num_inference_steps:  # what is written of images is another count
        images, solver_steps = min(2, generation.cycle_images), generation.num_inference_steps
    return replace(
        least,
        train=replace(
            least.train, max_steps=steps, phi_every=max(1, steps), checkpoint_every=0
        ),
        generation=replace(generation, cycle_images=images, num_inference_steps=solver_steps),
    )  # fmt: skip


def more_sizes(
    whole: Sizes, least: Sizes, an_input: float, a_reference: float, seconds: float
) -> Sizes:
    """As :func:`more_counts`, of the images that there are: what one takes is known, in seconds."""
    return replace(
        least,
        accepted=0,
        inputs=min(whole.inputs, _affordable(an_input, least.inputs, _MOST, seconds)),
        references=min(
            whole.references, _affordable(a_reference, least.references, _MOST, seconds)
        ),
    )


def _affordable(each: float, least: int, most: int, seconds: float) -> int:
    """How many of ``each`` seconds fit, between two bounds."""
    return most if each <= 0 else max(least, min(most, math.floor(seconds / each)))
