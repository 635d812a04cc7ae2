"""What the verdict says of good runs and of planted bad ones: are its thresholds right?

    python -m benchmarks.planted_failures --concepts "ankle boot" coat --seeds 0
    python -m benchmarks.planted_failures --concepts sneaker dress --minutes 30

Runs are the row "one pass" of a grid's development file: its pools, seeds and regimes, all of
which are good, and of some of them every way to plant a failure (``PLANTED``). No bad run may say
"worked", at most one in twenty good ones less. Rows are kept in ``--csv``, and what is there is not
computed again. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import copy
import csv
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from tqdm import tqdm

from benchmarks.result import machine, say, table
from coti.core.errors import CotiError
from coti.core.image_set import ImageSet
from coti.loop.data import ConceptData, Models
from coti.loop.learn import learn
from coti.loop.verdict import FACTS, verdict_of
from coti.scores.features_to_scores import embed_images
from coti.settings import RunSettings
from ops.grid_sweep import Sweep
from ops.grid_worker import data_of
from ops.regimes_file import GridRun, planned_grid, read_grid_file
from ops.stack.loaded_models import located, models_of
from ops.stack.locations import ROOT

IDENTITY = ("concept", "regime", "seed", "planted")
COLUMNS = (*IDENTITY, "outcome", *FACTS, "picked", "error")
ALWAYS = ("10 random", "narrow", "unnamed")
OFTEN = ("10 random", "narrow")
OTHER = "bag"
"""The concept that mislabelled seeds show."""


class Run(NamedTuple):
    """What a failure is planted in."""

    models: Models
    data: ConceptData
    settings: RunSettings
    others: ImageSet
    """As many seeds of another concept."""


class Planted(NamedTuple):
    """A way for a run to go wrong."""

    regimes: tuple[str, ...]
    plant: Callable[[Run], Run]


def _with_images(run: Run, pool: ImageSet | None = None, seeds: ImageSet | None = None) -> Run:
    """With another pool or other seeds, embedded anew."""
    ids = run.data.features.strings("pool_ids")
    pool = pool or ImageSet(ids, run.data.pool.tensor(ids))
    seeds = seeds or run.data.seeds
    encoders, settings = run.models.encoders, run.settings
    features = embed_images(
        encoders.scorer, encoders.concept, pool, seeds,
        settings.concept_score.distractors, settings.asked_for,
    )  # fmt: skip
    sources = {**run.data.sources, **{name: name for name in seeds.names}}
    return run._replace(
        data=replace(run.data, pool=pool, seeds=seeds, features=features, sources=sources)
    )


def _empty_pool(run: Run) -> Run:
    truth = run.data.ground_truth or {}
    ids = run.data.features.strings("pool_ids")
    wrong = [name for name in ids if not truth[run.data.sources[name]]]
    return _with_images(run, pool=ImageSet(wrong, run.data.pool.tensor(wrong)))


def _half_mislabelled(run: Run) -> Run:
    half, own = len(run.others) // 2, run.data.seeds
    images = torch.cat([own.images[half:], run.others.images[:half]])
    return _with_images(run, seeds=ImageSet([*own.names[half:], *run.others.names[:half]], images))


def _few_seeds(run: Run) -> Run:
    own = run.data.seeds
    return _with_images(run, seeds=ImageSet(own.names[:2], own.images[:2]))


def _textures(run: Run) -> Run:
    """Colours without a shape: nothing that the models were made for."""
    generator = torch.Generator().manual_seed(run.settings.seed)
    count, own = len(run.data.features.strings("pool_ids")), run.data.seeds
    coarse = torch.rand(count + len(own), 3, 4, 4, generator=generator)
    side = own.images.shape[-1]
    images = (functional.interpolate(coarse, (side, side), mode="bilinear") * 255).to(torch.uint8)
    pool = ImageSet(run.data.features.strings("pool_ids"), images[:count])
    return _with_images(run, pool, ImageSet(own.names, images[count:]))


def _broken_model(run: Run) -> Run:
    """Its UNet's weights are there, each in another place."""
    base, generator = copy.deepcopy(run.models.base), torch.Generator().manual_seed(0)
    for weight in base.unet.parameters():
        weight.data = weight.data[torch.randperm(len(weight), generator=generator)]
    return run._replace(models=replace(run.models, base=base))


def _at_rate(rate: float) -> Callable[[Run], Run]:
    def plant(run: Run) -> Run:
        settings = run.settings
        train = replace(settings.train, learning_rates=(rate,))
        token = replace(settings.token, norm_control="none")  # which mends it: decision 21
        return run._replace(settings=replace(settings, train=train, token=token))

    return plant


PLANTED: dict[str, Planted] = {
    "nothing": Planted((), lambda run: run),
    "empty pool": Planted(ALWAYS, _empty_pool),
    "mislabelled seeds": Planted(ALWAYS, lambda run: _with_images(run, seeds=run.others)),
    "half of the seeds mislabelled": Planted(OFTEN, _half_mislabelled),
    "two seeds": Planted(("10 random",), _few_seeds),
    "wrong domain": Planted(("10 random",), _textures),
    "broken model": Planted(OFTEN, _broken_model),
    "a rate 1000 times too high, of any length": Planted(OFTEN, _at_rate(5.0)),
}
"""What is wrong, by its name; ``nothing`` is a good run. One seed is refused before any of this."""


def measured(sweep: Sweep, run: GridRun, other: GridRun, planted: str) -> dict[str, Any]:
    """A run's row."""
    task = sweep.task(run)
    settings = located(task.settings)
    data, models = data_of(task, settings), replace(models_of(task.settings), judge=None)
    there = sweep.task(other)
    seeds = data_of(there, located(there.settings)).seeds
    given = PLANTED[planted].plant(Run(models, data, settings, seeds))
    row: dict[str, Any] = dict(
        zip(IDENTITY, (run.concept, run.regime, run.seed, planted), strict=True)
    )
    try:
        result = learn(given.models, given.data, given.settings)
    except CotiError as error:
        return {**row, "outcome": "refused", "error": str(error)}
    selected = len(result.training_set.selected)
    return {**row, "outcome": result.verdict.outcome, **result.verdict.facts, "picked": selected}


def runs_of(config: Any, seeds: list[int]) -> Iterator[tuple[GridRun, GridRun, str]]:
    """Each run with one of another concept, and what is planted in it; the same run once."""
    every = [run for run in planned_grid(config) if run.row == "one pass" and run.seed in seeds]
    others = {
        (run.regime, run.seed): run
        for run in planned_grid(config.model_copy(update={"concepts": (OTHER,)}))
        if run.row == "one pass"
    }
    for name, planted in PLANTED.items():
        for run in every:
            if run.regime in (planted.regimes or config.regimes):
                yield run, others[run.regime, run.seed], name


def main() -> None:
    """Compute what is not there yet, and say what the verdicts were."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--grid", default="configs/experiments/regimes_development.yaml")
    parser.add_argument("--concepts", nargs="+", default=["ankle boot", "coat"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--csv", type=Path, default=Path("outputs/planted_failures.csv"))
    parser.add_argument("--minutes", type=float, default=600.0, help="begins no run after these")
    given = parser.parse_args()
    torch.set_num_threads(1)
    config = read_grid_file(ROOT / given.grid)
    config = config.model_copy(update={"concepts": tuple(given.concepts)})
    sweep, until = Sweep(config), time.monotonic() + 60 * given.minutes
    rows = _read(given.csv)
    for run, other, planted in tqdm(list(runs_of(config, given.seeds)), desc="runs"):
        place = (run.concept, run.regime, str(run.seed), planted)
        if place not in rows and time.monotonic() < until:
            rows[place] = measured(sweep, run, other, planted)
            _write(given.csv, rows)
    wanted = [
        row
        for row in rows.values()
        if row["concept"] in given.concepts and int(row["seed"]) in given.seeds
    ]
    say(_report(wanted), {"benchmark": "planted_failures", **machine(), "runs": len(wanted)})


def _report(rows: list[dict[str, Any]]) -> str:
    """A row a kind of failure: how many said what, and the range of each fact."""
    lines = []
    for name in PLANTED:
        own = [row for row in rows if row["planted"] == name]
        if not own:
            continue
        said = [
            str(sum(_now(row) == outcome for row in own))
            for outcome in ("worked", "doubtful", "failed", "refused")
        ]
        ranges = []
        for fact in FACTS:
            values = [float(row[fact]) for row in own if row.get(fact) not in (None, "")]
            ranges.append(f"{min(values):.2f} – {max(values):.2f}" if values else "–")
        lines.append([name, str(len(own)), *said, *ranges])
    head = ["planted", "runs", "worked", "doubtful", "failed", "refused", *FACTS]
    return table(head, lines)


def _now(row: Mapping[str, Any]) -> str:
    """The outcome by today's thresholds."""
    if row["outcome"] == "refused":
        return "refused"
    facts = {name: float(row[name]) for name in FACTS if row.get(name) not in (None, "")}
    return verdict_of(facts).outcome


def _read(path: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {tuple(row[name] for name in IDENTITY): dict(row) for row in csv.DictReader(file)}


def _write(path: Path, rows: Mapping[tuple[str, ...], Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows.values())


if __name__ == "__main__":
    main()
