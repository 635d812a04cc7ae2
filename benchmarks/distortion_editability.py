"""Distortion and editability of TI (seeds, RAND, FULL) by vectors a token, and of COTI's runs.

    python -m benchmarks.distortion_editability --coti latest

Every TI embedding gets the same number of optimizer steps at one learning rate; COTI's are the runs
named. ``coti evaluate`` measures, plots and tracks all of them; its own options go after ``--``.
Trains six embeddings: minutes on the bundled model.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from coti.core.images import read_image_folder
from coti.core.seeding import generator
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.inversion.trainer import train_cycle
from coti.pool.ingest import ingest
from coti.pool.validation import validate
from coti.settings import (
    ModelSettings,
    PoolSettings,
    ScheduleSettings,
    TokenSettings,
    TrainSettings,
)

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
    parser.add_argument("--concept", default="ankle boot")
    parser.add_argument("--references", default=pools / "seeds", type=Path, help="the seeds")
    parser.add_argument("--pool", default=pools / "pool", type=Path)
    parser.add_argument("--random-images", default=150, type=int)
    parser.add_argument("--initializer", default="foot", help="also the per-word baseline")
    parser.add_argument("--vectors", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--coti", nargs="*", default=[], help="runs or embedding files")
    parser.add_argument("--steps", default=300, type=int, help="optimizer steps an embedding")
    parser.add_argument("--learning-rate", default=5e-3, type=float)
    parser.add_argument("--seed", default=0, type=int, help="of training and of RAND")
    parser.add_argument("--output", default=ROOT / "outputs" / "distortion", type=Path)
    prompts = ["--prompts-file", "configs/prompts/bundled.txt", "--num-seeds", "3"]
    parser.add_argument("evaluate", nargs="*", default=prompts, help="options of coti evaluate")
    return parser.parse_args()


def main() -> None:
    """Train, save, and let the command measure."""
    given = arguments()
    model = load_text_to_image(ModelSettings(base_model=given.model))
    sets = training_sets(given, model.resolution)
    wanted = [(f"TI, {count} vectors", "seeds", count) for count in given.vectors]
    wanted += [(f"TI ({name}), 4 vectors", name, 4) for name in ("RAND", "FULL")]
    given.output.mkdir(parents=True, exist_ok=True)
    labels, files = [given.initializer], []
    for number, (label, name, count) in enumerate(wanted):
        file = given.output / f"{number}.safetensors"
        learn(model, sets[name], count, given).save(file)
        labels.append(label)
        files.append(str(file))
    words = ["evaluate", "--word", given.initializer, "--references", str(given.references)]
    words += ["--output", str(given.output), *given.evaluate]
    words += [word for label in labels for word in ("--label", label)]
    words += [word for file in [*files, *given.coti] for word in ("--embedding", file)]
    subprocess.run([sys.executable, "-m", "coti.commands.main", *words], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
