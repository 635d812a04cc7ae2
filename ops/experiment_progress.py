"""What a sweep says: its cost before it starts, how far it is, where the results are."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from coti.experiments import counted
from coti.experiments.time_estimate import Work, measure_pace, work_of
from coti.inversion.base_model import TextToImageModel
from ops.experiment_file import ExperimentConfig, PlannedCell

__all__ = ["Progress", "announce_cost", "facts_of"]

ENOUGH = 0.05
"""Share of the sweep from which on its pace says how long the rest takes."""


def announce_cost(
    config: ExperimentConfig, cells: Sequence[PlannedCell], network: TextToImageModel
) -> float:
    """Measure this machine's pace and print what the sweep costs at most; returns minutes."""
    pace = measure_pace(network, cells[0].settings)
    total = sum((work_of(cell.settings) for cell in cells), Work(0, 0))
    minutes = pace.seconds(total) / config.parallel / 60
    rows = Counter(cell.label for cell in cells)
    click.echo(
        f"{config.name}: {len(cells)} cells ({len(config.concepts)} concepts x {len(rows)} rows x "
        f"{len(config.seeds)} seeds), {config.parallel} at once."
    )
    click.echo(
        f"At most {total.image_steps:,} image-steps and {total.drawn:,} drawn images; at this "
        f"machine's pace ({1000 * pace.image_step:.1f} and {1000 * pace.drawn:.1f} ms each) about "
        f"{minutes:.0f} minutes."
    )
    click.echo("Cells that are done come from the cache; interrupt it, and run it again to go on.")
    return minutes


class Progress:
    """A line a cell, with the time that is left by the time that cells took so far."""

    def __init__(self, config: ExperimentConfig, cells: Sequence[PlannedCell]) -> None:
        self._name, self._cells = config.name, list(cells)
        self._started = time.monotonic()
        self._done = 0
        self._work = self._left = sum(_images(cell) for cell in cells)
        self._worked = 0

    def show(self, cell: PlannedCell, row: dict[str, Any], cached: bool = False) -> None:
        """A cell is done, or came from the cache, which says nothing of the pace."""
        self._done += 1
        self._left -= _images(cell)
        self._worked += 0 if cached else _images(cell)
        known = self._worked > ENOUGH * self._work and self._left > 0
        spent = time.monotonic() - self._started
        click.echo(
            f"[{self._done}/{len(self._cells)}] {cell.concept}, {cell.label}, seed "
            f"{cell.settings.seed}: fd_judge {_shown(row['fd_judge'])}, R-precision "
            f"{_shown(row['r_precision'])}, selection {_shown(row['selection_precision'])}, "
            f"{row['image_steps']:,} image-steps, {row['seconds']:.0f} s"
            + (", from the cache" if cached else "")
            + (f"; about {spent * self._left / self._worked / 60:.0f} min left" if known else "")
        )

    def end(self, page: str) -> None:
        """Where everything is."""
        minutes = (time.monotonic() - self._started) / 60
        click.echo(f"{self._name}: done in {minutes:.1f} min. Results: {page}")
        click.echo(f"Side by side in MLflow: coti ui, experiment {self._name!r}")


def _images(cell: PlannedCell) -> int:
    """Images trained on and drawn: training and drawing one cost about the same."""
    work = work_of(cell.settings)
    return work.image_steps + work.drawn


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def facts_of(config: ExperimentConfig, cells: Sequence[PlannedCell]) -> list[str]:
    """Sentences on how it was measured, for the page."""
    first = cells[0].settings
    pools = config.made_pools
    made = [name for name in config.concepts if isinstance(name, str)]
    facts = [
        f"{counted(len(config.concepts), 'concept')}, seed{'s' * (len(config.seeds) > 1)} "
        f"{', '.join(map(str, config.seeds))}; all cells "
        f"start from the same seed images and may take at most "
        f"{max(cell.settings.image_step_cap for cell in cells):,} image-steps.",
        f"{first.judged_images} generated images a cell against all held-out references; "
        f"fd_judge and KID on the judge's features, fd_efficientnet on the 320 of ImageNet's "
        f"EfficientNet-Lite0 at {first.baselines.side} pixels, R-precision top 1; reconstruction "
        f"and editability (Gal et al. 2022) on the judge's features, {first.edit_images} "
        "generations a prompt. ± is the deviation over seeds.",
    ]
    if made:
        facts.append(
            f"Pools: recipe `{pools.recipe}`, seed {pools.seed}, of the bundled world (32x32 "
            "images): the numbers say nothing about Stable Diffusion."
        )
    return facts
