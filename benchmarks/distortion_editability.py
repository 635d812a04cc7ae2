"""Distortion and editability of TI (seeds, RAND, FULL) by vectors a token, and of COTI's runs.

    python -m benchmarks.distortion_editability --coti latest

Every TI embedding gets the same number of optimizer steps at one learning rate; COTI's are the runs
named. All are measured by ``coti.metrics.embedding_quality.measure_embedding``, as by
``coti evaluate``, shown in one plot, and tracked in MLflow like an evaluation. Trains eight
embeddings or so: minutes on the bundled model.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import torch

from coti.commands.embedding_sources import find_embeddings
from coti.core.images import read_image_folder
from coti.core.seeding import generator
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.generation.prompts import read_prompts
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.inversion.trainer import train_cycle
from coti.metrics.embedding_quality import measure_embedding
from coti.pool.ingest import ingest
from coti.pool.validation import validate
from coti.report.distortion_plot import means_by_label, plot_distortion
from coti.settings import (
    GenerationSettings,
    ModelSettings,
    PoolSettings,
    ScheduleSettings,
    TokenSettings,
    TrainSettings,
)
from ops.tracking.active_tracker import active_tracker
from ops.tracking.evaluation_record import record_evaluation

ROOT = Path(__file__).resolve().parent.parent


def learn(
    model: TextToImageModel, images: torch.Tensor, num_vectors: int, given: argparse.Namespace
) -> Embedding:
    """One embedding, without any schedule: uint8 [n, 3, h, w] to its embedding."""
    settings = TokenSettings(
        placeholder_token="<concept>", initializer=given.initializer, num_vectors=num_vectors
    )
    train = TrainSettings(
        learning_rates=(given.learning_rate,), max_steps=given.steps, checkpoint_every=0
    )
    start = Embedding.initial(model, settings, given.seed, given.concept)
    still = ScheduleSettings(dynamic=False)
    return train_cycle(model, images, None, start, train, still, None, given.seed).embedding


def training_sets(given: argparse.Namespace, resolution: int) -> dict[str, torch.Tensor]:
    """Images of TI's three baselines: the seeds; random ones of the pool with them; all."""
    _, seeds = read_image_folder(given.references, resolution)
    rules = PoolSettings()
    pool = ingest(str(given.pool), rules, resolution)
    ids = [str(name) for name in validate(pool.manifest, rules).accepted["id"]]
    order = torch.randperm(len(ids), generator=generator(given.seed, "random images"))
    some = [ids[row] for row in order[: given.random_images].tolist()]
    return {
        "seeds": seeds,
        "RAND": torch.cat([seeds, pool.pool_images.tensor(some)]),
        "FULL": torch.cat([seeds, pool.pool_images.tensor(ids)]),
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    pools = ROOT / "assets" / "pools" / "ankle_boot"
    parser.add_argument("--model", default=str(ROOT / "assets" / "models" / "base"))
    parser.add_argument("--judge", default=str(ROOT / "assets" / "models" / "judge"))
    parser.add_argument("--concept", default="ankle boot")
    parser.add_argument("--references", default=pools / "seeds", type=Path, help="the seeds")
    parser.add_argument("--pool", default=pools / "pool", type=Path)
    parser.add_argument("--random-images", default=150, type=int)
    parser.add_argument("--prompts", default=ROOT / "configs" / "prompts" / "bundled.txt")
    parser.add_argument("--initializer", default="foot", help="also the per-word baseline")
    parser.add_argument("--vectors", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--coti", nargs="*", default=[], help="runs or embedding files")
    parser.add_argument("--steps", default=300, type=int, help="optimizer steps an embedding")
    parser.add_argument("--learning-rate", default=5e-3, type=float)
    parser.add_argument("--images-per-prompt", default=64, type=int)
    parser.add_argument("--num-seeds", default=3, type=int, help="of the noise")
    parser.add_argument("--guidance-scale", default=2.0, type=float)
    parser.add_argument("--seed", default=0, type=int, help="of training and of RAND")
    parser.add_argument("--output", default=ROOT / "outputs" / "distortion", type=Path)
    return parser.parse_args()


def main() -> None:
    """Train, measure, draw the plot, print one JSON object last."""
    given = arguments()
    model = load_text_to_image(ModelSettings(base_model=given.model))
    judge = load_image_text_encoder(given.judge)
    sets = training_sets(given, model.resolution)
    measured: dict[str, Embedding | str] = {given.initializer: given.initializer}
    for count in given.vectors:
        measured[f"TI, {count} vectors"] = learn(model, sets["seeds"], count, given)
    for name in ("RAND", "FULL"):
        measured[f"TI ({name}), 4 vectors"] = learn(model, sets[name], 4, given)
    for source in find_embeddings([], given.coti):
        measured[f"COTI {source.label}"] = source.embedding
    settings = GenerationSettings(guidance_scale=given.guidance_scale)
    prompts = read_prompts(given.prompts)
    rows: list[dict[str, Any]] = [
        measure_embedding(
            model,
            judge,
            embedding,
            sets["seeds"],
            prompts,
            settings,
            seed,
            label=label,
            images_per_prompt=given.images_per_prompt,
        ).row()
        for label, embedding in measured.items()
        for seed in range(given.num_seeds)
    ]
    given.output.mkdir(parents=True, exist_ok=True)
    with (given.output / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    title = f"{given.concept}: {given.steps} steps, {given.num_seeds} seeds, {judge.name}"
    plot = plot_distortion(rows, given.output / "distortion_editability.png", title)
    params = {"steps": given.steps, "learning_rate": given.learning_rate, "judge": judge.name}
    params |= {"guidance_scale": given.guidance_scale, "base_model_hash": model.fingerprint}
    table = given.output / "scores.csv"
    record_evaluation(active_tracker(), given.concept, rows, params, [table, plot])
    means = {
        row["label"]: {key: round(row[key], 4) for key in ("reconstruction", "editability")}
        for row in means_by_label(rows)
    }
    for label, values in means.items():
        print(f"{label:<28} {values['reconstruction']:.3f}  {values['editability']:.3f}")
    print(json.dumps({"benchmark": "distortion_editability", "embeddings": means}))


if __name__ == "__main__":
    main()
