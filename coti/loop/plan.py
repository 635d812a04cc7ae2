"""What a strategy means for the loop: how many cycles, how many steps, when it selects."""

from __future__ import annotations

from dataclasses import replace

from coti.core.errors import ConfigError
from coti.encoders.captioners import CAPTIONERS
from coti.encoders.registry import ENCODERS
from coti.selection import STRATEGIES, Strategy
from coti.settings import RunSettings

__all__ = ["NO_TRAINING", "effective", "first_batch", "selects_at", "strategy_of"]

NO_TRAINING = "none"
"""The strategy without textual inversion: the base model generates the concept's name."""


def strategy_of(settings: RunSettings) -> Strategy:
    """The settings' strategy.

    Raises:
        ConfigError: there is no such one, or it does not grow as ``growth`` wants.
    """
    name = settings.strategy
    if name == NO_TRAINING:
        raise ConfigError(
            "strategy none trains nothing: it is a row of experiments, not a run of its own."
        )
    strategy = STRATEGIES.get(name)(name)
    if settings.growth != "auto" and settings.growth not in strategy.growths:
        ways = " or ".join((*strategy.growths, "auto"))
        raise ConfigError(
            f"strategy {name} does not grow by {settings.growth}: set growth to {ways}."
        )
    return strategy


def effective(settings: RunSettings) -> RunSettings:
    """The settings after the strategy had its say, ``growth`` decided.

    What adds all images at once trains once, with the steps that all cycles together may take, so
    that every strategy has the same cap of image-steps.

    Raises:
        ConfigError: a strategy or an encoder that there is none of, or a growth that misfits.
    """
    strategy = strategy_of(settings)
    if settings.concept_score.encoder != "scorer":
        ENCODERS.check(settings.concept_score.encoder)
    if settings.captions == "auto":
        CAPTIONERS.check(settings.captioner.kind)
    growth = strategy.growths[0] if settings.growth == "auto" else settings.growth
    cycles = settings.controller.max_cycles + 1
    if growth == "cycles":
        rules = settings.selection if cycles > 1 else replace(settings.selection, first=0.0)
        images = max(1, (cycles - 1) * rules.batch)
        return replace(settings, growth="cycles", selection=rules, baseline_images=images)
    return replace(
        settings,
        growth=growth,
        controller=replace(settings.controller, max_cycles=0),
        train=replace(settings.train, max_steps=settings.train.max_steps * cycles),
    )


def selects_at(cycle: int, settings: RunSettings) -> bool:
    """Whether a cycle of :func:`effective` settings selects; the paper's first does not."""
    at_first = settings.growth == "at_once" or settings.added_in(0) > 0
    return strategy_of(settings).selects and (at_first or cycle > 0)


def first_batch(settings: RunSettings) -> int:
    """Images of the pool that a first selection of :func:`effective` settings needs."""
    if settings.growth == "cycles" and not settings.controller.max_cycles:
        return 0
    return strategy_of(settings).least_images(settings)
