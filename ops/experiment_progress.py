"""What a sweep says: its cost before it starts, how far it is, where the results are."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from coti.experiments.result_tables import counted
from coti.experiments.time_estimate import Work, measure_speed, work_of
from coti.inversion.base_model import TextToImageModel
from coti.metrics.table import METRICS, headline
from ops.experiment_file import ExperimentConfig, PlannedRun

__all__ = ["Progress", "announce_cost", "facts_of"]

ENOUGH = 0.05
"""Share of the sweep from which on its speed says how long the rest takes."""


def announce_cost(
    config: ExperimentConfig, runs: Sequence[PlannedRun], network: TextToImageModel
) -> float:
    """Measure this machine's speed and print what the sweep costs at most; returns minutes."""
    speed = measure_speed(network, runs[0].settings)
    total = sum((work_of(run.settings) for run in runs), Work(0, 0))
    minutes = speed.seconds(total) / config.parallel / 60
    rows = Counter(run.label for run in runs)
    click.echo(
        f"{config.name}: {len(runs)} runs ({len(config.concepts)} concepts x {len(rows)} rows x "
        f"{len(config.seeds)} seeds), {config.parallel} at once."
    )
    click.echo(
        f"At most {total.image_steps:,} image-steps and {total.generated:,} generations; at this "
        f"machine's speed ({1000 * speed.image_step:.1f} and {1000 * speed.generated:.1f} ms each) "
        f"about {minutes:.0f} minutes."
    )
    click.echo("Runs that are done come from the cache; interrupt it, and run it again to go on.")
    return minutes


class Progress:
    """A line a run, with the time that is left by the time that runs took so far."""

    def __init__(self, config: ExperimentConfig, runs: Sequence[PlannedRun]) -> None:
        self._name, self._runs = config.name, list(runs)
        self._started = time.monotonic()
        self._done = 0
        self._work = self._left = sum(_images(run) for run in runs)
        self._worked = 0

    def show(self, run: PlannedRun, row: dict[str, Any], cached: bool = False) -> None:
        """A run is done, or came from the cache, which says nothing of the speed."""
        self._done += 1
        self._left -= _images(run)
        self._worked += 0 if cached else _images(run)
        known = self._worked > ENOUGH * self._work and self._left > 0
        spent = time.monotonic() - self._started
        there = [name for name in METRICS if row.get(name) is not None]
        click.echo(
            f"[{self._done}/{len(self._runs)}] {run.settings.concept}, {run.label}, seed "
            f"{run.settings.seed}: "
            + "".join(f"{m.label} {m.format(row[m.name])}, " for m in headline(there))
            + f"{row['image_steps']:,} image-steps, {row['seconds']:.0f} s"
            + (", from the cache" if cached else "")
            + (f"; about {spent * self._left / self._worked / 60:.0f} min left" if known else "")
        )

    def end(self, page: str) -> None:
        """Where everything is."""
        minutes = (time.monotonic() - self._started) / 60
        click.echo(f"{self._name}: done in {minutes:.1f} min. Results: {page}")
        click.echo(f"Side by side in MLflow: coti ui, experiment {self._name!r}")


def _images(run: PlannedRun) -> int:
    """Images trained on and generated: training on and generating one cost about the same."""
    work = work_of(run.settings)
    return work.image_steps + work.generated


def facts_of(config: ExperimentConfig, runs: Sequence[PlannedRun]) -> list[str]:
    """Sentences on how it was measured, for the page."""
    first = runs[0].settings
    pools = config.made_pools
    made = [name for name in config.concepts if isinstance(name, str)]
    facts = [
        f"{counted(len(config.concepts), 'concept')}, seed{'s' * (len(config.seeds) > 1)} "
        f"{', '.join(map(str, config.seeds))}; all runs "
        f"start from the same seed images and may take at most "
        f"{max(run.settings.image_step_cap for run in runs):,} image-steps.",
        f"{first.measurement.images} generated images a run against held-out references "
        f"({first.evaluation.references_half}); fd_judge and KID on the judge's features, fd_ssl, "
        f"precision and coverage on the class-blind judge's, fd_efficientnet on the 320 of "
        f"ImageNet's EfficientNet-Lite0 at {first.baselines.side} pixels, R-precision top 1; "
        f"reconstruction and editability (Gal et al. 2022) on the judge's features, "
        f"{first.measurement.edit_images} generations a prompt. ± is the deviation over seeds.",
    ]
    if made:
        facts.append(
            f"Pools: recipe `{pools.recipe}`, seed {pools.seed}, of the bundled world (32x32 "
            "images): the numbers say nothing about Stable Diffusion."
        )
    return facts
