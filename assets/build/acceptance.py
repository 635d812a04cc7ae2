"""Measure what the bundled models must hold, write the model cards, and freeze the models.

    python -m assets.build.acceptance            measure what is not measured yet, write the cards
    python -m assets.build.acceptance --freeze   the same, then write the hashes that a test checks
    python -m assets.build.acceptance --recorded the cards again, with the base model's
                                                 measurements as acceptance.json has them

One measurement is one textual inversion, or one look at one part; each is kept in ``--work`` under
the base model's hash, so an interrupted run goes on where it was. ``--concepts`` measures a few
only, so that two processes can share the work.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from assets.build.inversion import MODELS, Inversion, Workbench, judge_generated
from assets.build.make_pool import make_pool
from assets.build.model_cards import write_cards
from assets.build.world import BENCHMARK_CONCEPTS, CLASS_NAMES, split_of_class, to_rgb
from coti.core.hashes import fingerprint_files
from coti.pool.ingest import ingest
from coti.pool.validation import validate
from coti.settings import PoolSettings

WORK = Path("scratch/acceptance")
IMAGES = 200
"""Clean images of the ceiling, and pool images of TI (RAND)."""


def random_pool_images(concept: str, count: int = IMAGES) -> npt.NDArray[np.uint8]:
    """Accepted images of the concept's default pool, drawn at random, uint8 [count, 32, 32]."""
    with tempfile.TemporaryDirectory() as folder:
        make_pool(concept, Path(folder) / "made")
        settings = PoolSettings()
        pool = ingest(str(Path(folder) / "made" / "pool"), settings, 32)
        ids = list(validate(pool.manifest, settings).accepted["id"])
        chosen = np.random.default_rng(0).permutation(len(ids))[:count]
        images = pool.pool_images.tensor([ids[row] for row in chosen])
    return images[:, 0].numpy()


def _measurements(bench: Workbench, concept: str) -> dict[str, Callable[[], dict[str, float]]]:
    """Everything that is measured of a concept, by name."""
    label = CLASS_NAMES.index(concept)

    def reconstructions() -> dict[str, float]:
        real = torch.from_numpy(to_rgb(split_of_class("reference", label))).float() / 127.5 - 1
        with torch.inference_mode():
            latents = bench.model.vae.encode(real).latent_dist.mean
            images = bench.model.vae.decode(latents).sample.clamp(-1, 1)
        return judge_generated(images.add(1).mul(127.5).round().byte(), concept)

    def real() -> dict[str, float]:
        return judge_generated(torch.from_numpy(to_rgb(split_of_class("pool", label))), concept)

    def learned(images: npt.NDArray[np.uint8]) -> dict[str, float]:
        return judge_generated(bench.generate(bench.learn(images)), concept)

    return {
        "references": lambda: judge_generated(
            torch.from_numpy(to_rgb(split_of_class("reference", label))), concept
        ),
        "real": real,
        "reconstructed": reconstructions,
        "name": lambda: judge_generated(bench.generate_from_name(concept), concept),
        "start": lambda: judge_generated(bench.generate(bench.start()), concept),
        "clean": lambda: learned(split_of_class("pool", label)[:IMAGES]),
        "random": lambda: learned(random_pool_images(concept)),
    }


def measure(work: Path, concepts: Sequence[str], how: Inversion) -> dict[str, Any]:
    """All measurements of these concepts: concept -> measurement -> metric; kept ones are read."""
    base = MODELS / "base"
    key = f"{fingerprint_files([base])[:12]}-{fingerprint_files([MODELS / 'judge'])[:6]}"
    folder = work / f"{key}-guidance{how.guidance_scale:g}-seed{how.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    bench = Workbench.load(base, how)
    found: dict[str, Any] = {}
    bar = tqdm(total=7 * len(concepts), desc="acceptance")
    for concept in concepts:
        found[concept] = {}
        for name, measure_one in _measurements(bench, concept).items():
            kept = folder / f"{concept.replace(' ', '_')}-{name}.json"
            if not kept.is_file():
                start = time.monotonic()
                values = measure_one() | {"seconds": round(time.monotonic() - start, 1)}
                kept.write_text(json.dumps(values) + "\n")
            found[concept][name] = json.loads(kept.read_text())
            bar.update()
    bar.close()
    return found


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=WORK, help="kept measurements")
    parser.add_argument("--concepts", nargs="+", default=list(BENCHMARK_CONCEPTS))
    parser.add_argument("--guidance-scale", type=float, default=Inversion().guidance_scale)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--freeze", action="store_true", help="write the hashes, too")
    parser.add_argument("--recorded", action="store_true", help="measure nothing again")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    how = Inversion(guidance_scale=given.guidance_scale)
    if given.recorded:
        record = json.loads((MODELS / "acceptance.json").read_text(encoding="utf-8"))
        how, found = Inversion(**record["how"]), record["measurements"]
    else:
        found = measure(given.work, given.concepts, how)
    if set(given.concepts) != set(BENCHMARK_CONCEPTS):
        print("A part of the concepts: no cards are written.")
        return
    for line in write_cards(found, asdict(how), MODELS, freeze=given.freeze):
        print(line)


if __name__ == "__main__":
    main()
