"""All runs of a grid over regimes that are not done yet, several at once.

The CSV is the memory, not ZenML's cache: it is committed, so that a grid of days goes on in another
checkout. A run is done where the CSV has a row, of whatever place in the grid, that was asked for
the same (column ``settings``: settings, pool, seeds) and computed by the same code and models
(column ``code``). The file is written anew after each run, whole.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from coti.core.errors import CotiError, TrainingError
from coti.experiments.regime_rows import MEASURED, RegimeRun, read_runs, write_runs
from coti.loop.plan import NO_TRAINING
from coti.selection import STRATEGIES
from coti.settings import ImageSettings, RunSettings
from coti.settings.run import flat
from ops.experiment_pools import PoolStore
from ops.grid_worker import Task, compute
from ops.regimes_file import GridConfig, GridRun, planned_grid
from ops.stack.cache_policy import meaning_of, modules_of
from ops.stack.experiment_workers import begin_worker
from ops.stack.locations import ROOT
from ops.tracking.lineage import weights_of

__all__ = ["Sweep", "code_of", "settings_of"]

WORKER = "ops.grid_worker"
BUILDER = ("degrade", "make_pool", "pool_captions", "pool_defects", "world")
"""Of ``assets/build``: what pools and seeds are made by."""
ANYWHERE = ("coti/settings/", "coti/metrics/table.py", "coti/selection/__init__.py")
"""Sources that change no number: what they say is in ``settings``, or for readers."""


_BY_DEFAULT = flat({"settings": {"images": asdict(ImageSettings())}})


def settings_of(run: GridRun) -> str:
    """Hash of all that a run is asked for: 16 hexadecimal digits.

    Values that are nothing (none, false, 0, empty) are left out, and those that images have by
    default, so that a new setting that is off by default computes nothing again.
    """
    asked = {
        key: value
        for key, value in flat(run.asks_for).items()
        if value and value != _BY_DEFAULT.get(key)
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def code_of(settings: RunSettings) -> str:
    """Hash of the sources and the models that a run is computed by: 12 hexadecimal digits.

    Of the strategies its own alone, so that an edit of one computes no other's rows again. The
    machine and the versions of libraries have no part: they change last digits, and a grid of days
    may be computed on several machines.
    """
    return _code(settings.strategy, settings.only(*_MODELS))


@cache
def _code(strategy: str, models: RunSettings) -> str:
    own = frozenset() if strategy == NO_TRAINING else _own(strategy)
    digest = hashlib.sha256(meaning_of(_shared() | own))
    digest.update(json.dumps(weights_of(models), sort_keys=True).encode())
    return digest.hexdigest()[:12]


_MODELS = (*("model", "token", "scorer", "concept_score", "evaluation", "aesthetic", "baselines"),)


@cache
def _shared() -> frozenset[Path]:
    """What all rows are computed by."""
    strategies = (_module(name) for name in STRATEGIES.names())
    own = {ROOT / f"{module.replace('.', '/')}.py" for module in strategies}
    shared = modules_of(WORKER, without={*own, ROOT / "coti/selection/__init__.py"})
    return _counting(shared) | _builder()


def _builder() -> frozenset[Path]:
    return frozenset(ROOT / f"assets/build/{name}.py" for name in BUILDER)


def _built_by() -> str:
    """Hash of what pools and seeds are made by: of another builder none is taken for this one's."""
    return hashlib.sha256(meaning_of(_builder())).hexdigest()[:12]


@cache
def _own(strategy: str) -> frozenset[Path]:
    without = {ROOT / "coti/selection/__init__.py"}
    return _counting(modules_of(_module(strategy), without=without))


def _module(strategy: str) -> str:
    return STRATEGIES.targets.get(strategy, strategy).partition(":")[0]


def _counting(paths: set[Path]) -> frozenset[Path]:
    return frozenset(
        path for path in paths if not path.relative_to(ROOT).as_posix().startswith(ANYWHERE)
    )


@dataclass(frozen=True)
class _Job:
    """A computation, and the places of the grid that its numbers are for."""

    runs: list[GridRun]
    settings: str
    code: str


class Sweep:
    """A grid's runs: those that are done, and those to be computed."""

    def __init__(
        self,
        config: GridConfig,
        *,
        again: bool = False,  # compute what is done, too
        any_code: bool = False,  # what other code or models computed is done, too
        wanted: Callable[[GridRun], bool] = lambda run: True,  # of what is to be computed
    ) -> None:
        self._config = config
        self.path = (ROOT / config.results).resolve() / f"{config.name}.csv"
        self._data = PoolStore(ROOT / config.pools.folder / f"grid-{_built_by()}")
        self._planned = list(planned_grid(config))
        known = read_runs(self.path)
        done = {(run.settings, run.code): run for run in known}
        older = {run.settings: run for run in known}
        self._finished: dict[tuple[str, str, str, int], RegimeRun] = {}
        jobs: dict[str, _Job] = {}
        for run in self._planned:
            settings, code = settings_of(run), code_of(run.settings)
            old = done.get((settings, code)) or (older.get(settings) if any_code else None)
            if old is not None:
                self._finished[run.place] = _at(run, old.values, old.settings, old.code)
            if (old is None or again) and wanted(run):
                jobs.setdefault(settings, _Job([], settings, code)).runs.append(run)
        self.jobs = list(jobs.values())
        self._kept = {run.place: run for run in known}

    @property
    def runs(self) -> list[RegimeRun]:
        """What is done, in the plan's order."""
        return [self._finished[r.place] for r in self._planned if r.place in self._finished]

    @property
    def planned(self) -> int:
        """Runs of the grid."""
        return len(self._planned)

    def compute(self, seconds: float | None = None) -> Iterator[list[RegimeRun]]:
        """Compute what is not done, and write it down run by run; yields what each job gave.

        After ``seconds`` no run is started any more.

        Raises:
            TrainingError: a process was killed.
            CotiError: of a run.
        """
        until = None if seconds is None else time.monotonic() + seconds
        waiting = iter(self.jobs)
        started = (job for job in waiting if until is None or time.monotonic() < until)
        for job, row in _side_by_side(started, self.task, self._config.parallel):
            values = {k: float(row[k]) for k in MEASURED if row.get(k) is not None}
            new = [_at(run, values, job.settings, job.code) for run in job.runs]
            for run in new:
                self._finished[run.place] = run
            self.write()
            yield new

    def write(self) -> None:
        """The CSV: what is done, and until all is, rows of before that may be of use again."""
        order = {run.place: number for number, run in enumerate(self._planned)}
        rows = self._finished
        if len(rows) < len(order):
            rows = {**self._kept, **rows}
        write_runs(
            self.path, sorted(rows.values(), key=lambda run: order.get(run.place, len(order)))
        )

    def task(self, run: GridRun) -> Task:
        """What a process needs to compute a run; makes its pool and seeds where there are none."""
        return Task(
            settings=run.settings,
            trained=run.trained,
            pool=self._data.pool(run.pool),
            seeds=self._data.seeds(run.pool, run.seeds),
            references=self._data.references(run.concept),
        )


def _at(run: GridRun, values: dict[str, float], settings: str, code: str) -> RegimeRun:
    return RegimeRun(
        concept=run.concept,
        regime=run.regime,
        row=run.row,
        seed=run.seed,
        pool_seed=run.pool.seed,
        trained=run.trained,
        values=values,
        settings=settings,
        code=code,
    )


def _side_by_side(
    jobs: Iterator[_Job], task_of: Callable[[GridRun], Task], count: int
) -> Iterator[tuple[_Job, dict[str, Any]]]:
    """Jobs with their rows as they end; one that waits is always there when a process is free."""
    if count == 1:
        for job in jobs:
            yield job, _row(job, partial(compute, task_of(job.runs[0])))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=begin_worker) as pool:
        running: dict[Future[dict[str, Any]], _Job] = {}
        try:
            while True:
                for job in islice(jobs, count + 1 - len(running)):
                    running[pool.submit(compute, task_of(job.runs[0]))] = job
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job = running.pop(future)
                    yield job, _row(job, future.result)
        except BrokenProcessPool as error:
            raise TrainingError(
                "a process that computes runs was killed, most likely for memory: set parallel to "
                "less, and run the same command again; what is done is not computed again."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _row(job: _Job, result: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return result()
    except CotiError as error:
        run = job.runs[0]
        raise TrainingError(
            f"{run.concept}, {run.regime}, {run.row}, seed {run.seed}: {error}"
        ) from error
