"""The trainer's floor: what an embedding loses against the very images it was trained on.

    python -m benchmarks.trainer_floor --concepts "ankle boot" coat --seeds 0 1
    python -m benchmarks.trainer_floor --trainings stratified "16 vectors" --steps 200 400

X_T is the oracle's, so that selection has no part in it, of a grid's development file: its pools,
seeds and half of the references. Every way to train (``TRAININGS``) is run once for the most steps;
what it would have ended at before, and averaged, is read off its iterates. Each end generates by
every way to generate (``GENERATIONS``), and the class-blind judge compares with the references.

Above the table stand what no training can go below: X_T itself, and X_T through the autoencoder.
``× X_T`` is the distance as a multiple of X_T's, geometric means over concepts and seeds;
``spread`` the standard deviation of the distance's logarithm between seeds. Rows are kept in
``--csv``, and what is there is not computed again. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.result import machine, say, table
from coti.core.seeding import derived_seed
from coti.generation.fixed_noise import generate_fixed
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.averaging import Average
from coti.inversion.latents import decode_latents, encode_latents
from coti.inversion.trainer import train_cycle
from coti.loop.data import ConceptData, Models
from coti.loop.learn import select_at_once
from coti.loop.measurement import measure_training_set
from coti.loop.plan import effective
from coti.metrics.judge import judge_images
from coti.scores.formulas import PhiValue
from coti.settings import RunSettings
from ops.grid_sweep import Sweep
from ops.grid_worker import data_of
from ops.regimes_file import GridRun, planned_grid, read_grid_file
from ops.stack.loaded_models import located, models_of
from ops.stack.locations import ROOT

TRAININGS: dict[str, dict[str, Any]] = {
    "uniform": {"train": {"timesteps": "uniform"}},
    "stratified": {"train": {"timesteps": "stratified"}},
    "rate 0.01": {"train": {"timesteps": "stratified", "learning_rates": (1e-2,)}},
    "rate 0.0025": {"train": {"timesteps": "stratified", "learning_rates": (2.5e-3,)}},
    "batch 32": {"train": {"timesteps": "stratified", "batch_size": 32}},
    "8 vectors": {"train": {"timesteps": "stratified"}, "token": {"num_vectors": 8}},
    "16 vectors": {"train": {"timesteps": "stratified"}, "token": {"num_vectors": 16}},
}
"""Changes of the grid's settings."""
GENERATIONS: dict[str, dict[str, Any]] = {
    "guidance 2": {"guidance_scale": 2.0},
    "guidance 1.5": {"guidance_scale": 1.5},
    "guidance 1.5, 20 steps": {"guidance_scale": 1.5, "num_inference_steps": 20},
    "none": {"guidance_scale": 1.0},
    "2 in (0.3, 5]": {"guidance_scale": 2.0, "guidance_interval": (0.3, 5.0)},
    "2 in (0.3, 10]": {"guidance_scale": 2.0, "guidance_interval": (0.3, 10.0)},
    "2 in (1, 5]": {"guidance_scale": 2.0, "guidance_interval": (1.0, 5.0)},
    "3 in (0.3, 5]": {"guidance_scale": 3.0, "guidance_interval": (0.3, 5.0)},
}
"""Likewise, of how images are generated."""
METRICS = ("fd_ssl", "precision", "recall", "coverage", "fd_judge", "r_precision")
COLUMNS = (
    *("concept", "seed", "grid", "regime", "images"),
    *("training", "steps", "average", "generation", "xt_fd_ssl"),
    *METRICS,
)


def with_changes(settings: RunSettings, changes: Mapping[str, Mapping[str, Any]]) -> RunSettings:
    """A copy in which some keys of some sections differ."""
    sections = {name: replace(getattr(settings, name), **keys) for name, keys in changes.items()}
    return replace(settings, **sections)


def iterates(
    models: Models,
    images: torch.Tensor,  # X_T
    start: Embedding,
    settings: RunSettings,
    steps: int,
) -> list[Embedding]:
    """What training ends at after 1, 2, … steps, computed in one training."""
    found: list[Embedding] = []

    def keep(embedding: Embedding, _step: int) -> PhiValue:
        parts = [part.detach().clone() for part in embedding.parts]
        found.append(embedding.with_parts(parts))
        return PhiValue(0.0, 0.0, 0.0)

    train_cycle(
        models.base,
        images,
        None,
        start,
        replace(settings.train, max_steps=steps, phi_every=1, average=0.0, checkpoint_every=0),
        replace(settings.schedule, dynamic=False),
        keep,
        derived_seed(settings.seed, "train", 0),
        token=settings.token,
    )
    return found


def averaged(
    models: Models, path: Sequence[Embedding], width: float, settings: RunSettings
) -> Embedding:
    """What training would end with if it averaged its iterates."""
    last = path[-1]
    if not width:
        return last
    now = [part.clone() for part in path[0].parts]
    average = Average(width, now)
    for step, each in enumerate(path, start=1):
        for part, value in zip(now, each.parts, strict=True):
            part.copy_(value)
        average.add(step)
    return last.with_parts(average.end(last.constraint(models.base, settings.token)))


def _judged(
    models: Models, data: ConceptData, settings: RunSettings, images: torch.Tensor
) -> dict[str, float]:
    assert models.judge is not None
    assert data.references is not None
    return judge_images(
        models.judge, images, data.references, settings.concept, settings.evaluation,
        settings.seed, ssl_judge=models.ssl_judge,
    )  # fmt: skip


def measured(
    run: GridRun, sweep: Sweep, options: argparse.Namespace, known: set[tuple[str, ...]]
) -> Iterator[dict[str, Any]]:
    """Rows of a concept and seed that are not known."""
    where = {
        "concept": run.concept,
        "seed": run.seed,
        "grid": options.grid.stem,
        "regime": run.regime,
        "images": options.images,
    }
    wanted = {
        name: [
            (steps, width, way)
            for steps in options.steps
            for width in options.averages
            for way in options.generations
            if _key(
                {**where, "training": name, "steps": steps, "average": width, "generation": way}
            )
            not in known
        ]
        for name in options.trainings
    }
    if not any(wanted.values()):
        return
    grid = located(run.settings)
    models, data = models_of(run.settings), data_of(sweep.task(run), grid)
    training_set = select_at_once(models, data, grid)
    images = torch.cat(
        [data.seeds.tensor(training_set.seeds), data.pool.tensor(training_set.selected)]
    )
    floor = measure_training_set(models, data, training_set)["xt_fd_ssl"]
    if _key({**where, "training": "autoencoder"}) not in known:
        latents = encode_latents(models.base, images)
        copies = decode_latents(models.base, models.base.to_latents(latents.mean))
        yield {
            **where,
            "training": "autoencoder",
            "xt_fd_ssl": floor,
            **_judged(models, data, grid, copies),
        }
    for name, points in wanted.items():
        if not points:
            continue
        settings = effective(with_changes(grid, TRAININGS[name]))
        start = Embedding.initial(
            models.base,
            settings.token,
            derived_seed(settings.seed, "initializer"),
            settings.concept,
        )
        most = max(steps for steps, _, _ in points)
        path = iterates(models, images, start, settings, most)
        for steps, width, way in tqdm(
            points, desc=f"{run.concept}, {name}", leave=False, disable=None
        ):
            embedding = averaged(models, path[:steps], width, settings)
            how = replace(settings.generation, **GENERATIONS[way])
            generated = generate_fixed(
                models.base, embedding, how, options.images, settings.seed, "judge"
            ).images
            yield {
                **where, "training": name, "steps": steps, "average": width, "generation": way,
                "xt_fd_ssl": floor, **_judged(models, data, settings, generated),
            }  # fmt: skip


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row.get(name, "")) for name in COLUMNS[:9])


def report(rows: Sequence[Mapping[str, str]]) -> str:
    """A row for each way to train and to generate, the nearest first."""
    groups: dict[tuple[str, ...], list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        groups[_key(row)[2:]].append(row)
    lines = []
    for key, members in groups.items():
        logs = defaultdict(list)
        for row in members:
            logs[row["concept"]].append(math.log(float(row["fd_ssl"])))
        times = fmean(math.log(float(r["fd_ssl"]) / float(r["xt_fd_ssl"])) for r in members)
        spread = [stdev(each) for each in logs.values() if len(each) > 1]
        means = [fmean(float(row[name]) for row in members if row[name]) for name in METRICS]
        lines.append(
            (
                math.exp(times),
                [
                    *(part or "–" for part in key),
                    str(len(members)),
                    f"{math.exp(times):.2f}",
                    f"{fmean(spread):.3f}" if spread else "–",
                    *(f"{mean:.3f}" for mean in means),
                ],
            )
        )
    lines.sort(key=lambda line: line[0])
    head = [*COLUMNS[2:9], "runs", "× X_T", "spread", *METRICS]
    return table(head, [cells for _, cells in lines])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--grid", type=Path, default=ROOT / "configs/experiments/regimes_development.yaml")
    add("--regime", default="3 random")
    add("--concepts", nargs="+", default=["ankle boot", "coat"])
    add("--seeds", nargs="+", type=int, default=[0, 1])
    add("--trainings", nargs="+", default=["uniform", "stratified"], choices=TRAININGS)
    add("--generations", nargs="+", default=["guidance 2", "guidance 1.5"], choices=GENERATIONS)
    add("--steps", nargs="+", type=int, default=[200, 600])
    add("--averages", nargs="+", type=float, default=[0.0, 0.15])
    add("--images", type=int, default=256)
    add("--csv", type=Path, default=ROOT / "outputs/trainer_floor.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = read_grid_file(options.grid)
    sweep = Sweep(config)
    rows = list(csv.DictReader(options.csv.open(encoding="utf-8"))) if options.csv.is_file() else []
    known = {_key(row) for row in rows}
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    with options.csv.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        if not options.csv.stat().st_size:
            writer.writeheader()
        for run in planned_grid(config):
            if (run.regime, run.row) != (options.regime, "oracle") or not run.trained:
                continue
            if run.concept in options.concepts and run.seed in options.seeds:
                for row in measured(run, sweep, options, known):
                    writer.writerow(row)
                    file.flush()
    rows = list(csv.DictReader(options.csv.open(encoding="utf-8")))
    say(report(rows), {"benchmark": "trainer_floor", "rows": len(rows), **machine()})


if __name__ == "__main__":
    main()
