"""``coti regimes``: a grid of rows over regimes, as its file settles it, and its page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coti.commands.number_types import FiniteRange
from ops.quiet import quiet_terminal

if TYPE_CHECKING:
    from coti.experiments.regime_rows import RegimeRun
    from ops.grid_sweep import Sweep
    from ops.regimes_file import GridConfig, GridRun

__all__ = ["regimes"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--minutes", type=FiniteRange(0, 1_000_000), help="Start no run after so many.")
@click.option("--only", multiple=True, metavar="NAME", help="A row, regime or concept; repeatable.")
@click.option(
    "--part", type=click.Choice(["trained", "untrained"]), help="What is trained, or X_T alone."
)
@click.option("--again", is_flag=True, help="Compute what is done, too.")
@click.option(
    "--any-code", is_flag=True, help="Take rows of other code and models as done; the page says so."
)
@click.option("--page", is_flag=True, help="Compute nothing: write the page of what is there.")
def regimes(
    file: Path,
    minutes: float | None,
    only: tuple[str, ...],
    part: str | None,
    again: bool,
    any_code: bool,
    page: bool,
) -> None:
    """Measure selections in the situations (seeds, pools) that FILE lists: a grid.

    What its CSV lacks is computed; CSV, page and figure are written.

    Interrupt it and repeat the command, in another checkout too, where the CSV is committed: what
    is done is not computed again.

    \b
    Example:
      coti regimes configs/experiments/regimes.yaml --minutes 50
    """
    quiet_terminal()
    from coti.core.whole_files import require_writable
    from coti.experiments.regimes_page import write_grid_page
    from ops.grid_sweep import Sweep
    from ops.regimes_file import plan_of, read_grid_file

    config = read_grid_file(file)
    sweep = Sweep(config, again=again, any_code=any_code, wanted=_wanted(config, only, part))
    require_writable(sweep.path.parent)
    _announce(config, sweep)
    started, lately = time.monotonic(), time.monotonic()
    plan, path = plan_of(config, sweep.planned), sweep.path.with_suffix(".md")

    def write() -> None:
        write_grid_page(plan, sweep.runs, path, _facts(config))

    left = len(sweep.jobs)
    try:
        for new in () if page else sweep.compute(None if minutes is None else 60 * minutes):
            left -= 1
            _say(new, left, time.monotonic() - started, len(sweep.jobs) - left)
            if time.monotonic() - lately > 600:
                write()
                lately = time.monotonic()
    finally:
        if sweep.runs:
            sweep.write()
            write()
    where = f": {path}" if sweep.runs else "; there is no page yet"
    click.echo(f"{len(sweep.runs)} of {sweep.planned} runs are done{where}")


def _wanted(config: GridConfig, only: Sequence[str], part: str | None) -> Callable[[GridRun], bool]:
    from coti.core.errors import ConfigError

    known = {*config.rows, *config.regimes, *config.concepts}
    for name in only:
        if name not in known:
            raise ConfigError(f"--only {name}: there is no such row, regime or concept.")

    def wanted(run: GridRun) -> bool:
        named = all(
            getattr(run, kind) in only
            for kind, names in (
                ("row", config.rows),
                ("regime", config.regimes),
                ("concept", config.concepts),
            )
            if set(names) & set(only)
        )
        return named and (part is None or run.trained == (part == "trained"))

    return wanted


def _announce(config: GridConfig, sweep: Sweep) -> None:
    trained = sum(job.runs[0].trained for job in sweep.jobs)
    click.echo(
        f"{config.name}: {sweep.planned} runs, {len(sweep.runs)} done; to compute: {trained} "
        f"trained and {len(sweep.jobs) - trained} of X_T alone, {config.parallel} at once; runs "
        "that are the same in two regimes are computed once."
    )


def _say(runs: Sequence[RegimeRun], left: int, seconds: float, done: int) -> None:
    from coti.experiments.regime_rows import metric_of

    run = runs[0]
    shown = ("fd_ssl", "coverage") if run.trained else ("xt_fd_ssl", "xt_coverage")
    numbers = [
        f"{metric_of(name).label} {metric_of(name).format(run.values[name])}"
        for name in (*shown, "selection_precision")
        if name in run.values
    ]
    where = ", ".join(dict.fromkeys(each.regime for each in runs))
    about = f"; about {seconds / done * left / 60:.0f} min left" if left else ""
    click.echo(
        f"{run.concept}, {run.row}, seed {run.seed} ({where}): {', '.join(numbers)}, "
        f"{run.values.get('seconds', 0):.0f} s{about}"
    )


def _facts(config: GridConfig) -> list[str]:
    """How it was measured, for the page."""
    from ops.regimes_file import planned_grid

    runs = [run.settings for run in planned_grid(config)]
    first, most = runs[0], max(run.image_step_cap for run in runs)
    half = first.evaluation.references_half
    return [
        f"{', '.join(config.concepts)}; seeds {', '.join(map(str, config.seeds))} trained"
        + (
            f", X_T also of {', '.join(map(str, config.untrained_seeds))}"
            if config.untrained_seeds
            else ""
        )
        + ". A seed is a pool, seed images, selection, training and noise of its own.",
        f"Pools: recipe `{config.pools.recipe}` of the bundled world (32x32 images): the numbers "
        "say nothing about Stable Diffusion. No seed image is in a pool, and no reference in "
        "either.",
        f"{first.measurement.images} generations a run, on noise that depends on the seed alone, "
        f"against held-out references ({half}). At most {most:,} image-steps for "
        "every row.",
    ]
