"""Time to quality: image-steps and seconds until the judge tells the embedding's images right.

    python -m benchmarks.ti_time_to_quality --targets 0.8 0.95

On the bundled benchmark four ways to learn an embedding, all by the loop from the same start:

``TI``
    Textual inversion on the seeds at one rate.
``TI + DVAR``
    The same, ended by the loss on fixed draws (Voronov et al. 2023).
``TI (pool)``
    The same as TI, on the seeds and all of the raw pool: what a user has who selects nothing.
``COTI``
    This project's loop: images selected from the pool, φ driving the rate, cycle after cycle.

COTI is measured after each cycle, its clock stopped while the judge is asked. The others are
trained anew for ``--every`` steps, twice as many, and so on until every target is reached: with one
rate a shorter training is the beginning of a longer one. Their seconds are those of training alone,
COTI's those of everything: features of the pool, fine-tuning the head, scores, generating for φ.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.result import machine, say, table
from benchmarks.selection_quality import read
from coti.core.image_set import ImageSet
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.encoders.protocol import normalized
from coti.generation.fixed_noise import generate_fixed
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import load_text_to_image
from coti.loop.controller import Decision
from coti.loop.data import ConceptData, Models
from coti.loop.inputs import Encoders
from coti.loop.learn import learn
from coti.loop.record import CycleRecord
from coti.metrics.judge import candidate_captions
from coti.metrics.r_precision import r_precision
from coti.scores.features_to_scores import embed_images
from coti.settings import RunSettings, ScheduleSettings
from ops.run_file import load_settings
from ops.stack.locations import locate

PLAIN: dict[str, tuple[str, Literal["phi", "dvar"]]] = {
    "TI": ("seeds", "phi"),
    "TI + DVAR": ("seeds", "dvar"),
    "TI (pool)": ("full", "phi"),
}
"""Method to strategy and what ends a training."""


@dataclass
class Trial:
    """One method's way: what the judge said after how much."""

    judge: Callable[[Embedding], float]
    """R-precision of what an embedding generates."""
    targets: list[float]
    rows: list[dict[str, float]] = field(default_factory=list)

    def measure(self, embedding: Embedding, image_steps: int, seconds: float) -> None:
        """Ask the judge."""
        value = self.judge(embedding)
        self.rows.append({"image_steps": image_steps, "seconds": seconds, "r_precision": value})

    @property
    def best(self) -> float:
        """The highest R-precision."""
        return max((row["r_precision"] for row in self.rows), default=0.0)

    def reached(self, target: float) -> dict[str, float] | None:
        """The first measurement at the target or above."""
        return next((row for row in self.rows if row["r_precision"] >= target), None)


def plain(
    trial: Trial,
    models: Models,
    data: ConceptData,
    settings: RunSettings,
    name: str,
    every: int,
    steps: int,
) -> None:
    """Textual inversion without a loop, for longer and longer."""
    strategy, stop = PLAIN[name]
    for budget in range(every, steps + 1, every):
        one = replace(
            settings,
            strategy=strategy,
            train=replace(
                settings.train,
                learning_rates=settings.train.learning_rates[:1],
                max_steps=budget,
                phi_unit="steps",
                phi_every=budget + 1,
            ),
            schedule=ScheduleSettings(dynamic=False, stop=stop, dvar_window=max(2, steps // 5)),
            generation=replace(settings.generation, cycle_images=2, sample_images=1),
            controller=replace(settings.controller, max_cycles=0),
        )
        result = learn(models, data, one)
        (record,) = result.records
        trial.measure(result.embedding, record.image_steps, record.seconds)
        stopped = record.image_steps < budget * settings.train.batch_size
        if stopped or trial.best >= max(trial.targets):
            break


def coti(
    trial: Trial,
    models: Models,
    data: ConceptData,
    settings: RunSettings,
    steps: int,
    seconds: float,
) -> None:
    """Cycles of selection and training until the steps are used up; ``seconds`` are spent."""
    cycles = max(1, steps // settings.train.max_steps)
    controller = replace(settings.controller, max_cycles=cycles - 1)
    began = time.perf_counter() - seconds

    def measured(record: CycleRecord, _decision: Decision, embedding: Embedding) -> None:
        nonlocal began
        asked = time.perf_counter()
        trial.measure(embedding, record.image_steps, asked - began)
        began += time.perf_counter() - asked

    learn(models, data, replace(settings, controller=controller), on_cycle=measured)


def report(result: dict[str, Any]) -> str:
    """Image-steps and seconds to the targets."""
    targets = result["targets"]
    rows = []
    for name, trials in result["methods"].items():
        for trial in trials:
            cells = []
            for reached in trial["reached"]:
                steps, seconds = "not reached", "–"
                if reached:
                    steps, seconds = f"{reached['image_steps']:.0f}", f"{reached['seconds']:.1f}"
                cells += [steps, seconds]
            best = max((row["r_precision"] for row in trial["rows"]), default=0.0)
            rows.append([name, str(trial["seed"]), *cells, f"{best:.3f}"])
    to = [word for target in targets for word in (f"image-steps to {target:g}", "seconds")]
    head = ["method", "seed", *to, "best seen"]
    ratios = [
        [name, f"{target:g}", f"{seeds}", *(f"{value:.2f}" if value else "–" for value in pair)]
        for place, target in enumerate(targets)
        for name, (seeds, *pair) in ratios_of(result, place).items()
    ]
    compared = table(["method / COTI", "target", "seeds", "image-steps", "seconds"], ratios)
    return (
        f"R-precision top1/{result['candidates']} of {result['images']} images; "
        f"{result['device']}, {result['dtype']}, {result['threads']} threads. The time for "
        f"measuring is left out.\n\n{table(head, rows)}\n\nMeans to the target over the seeds on "
        f"which both reach it:\n\n{compared}"
    )


def ratios_of(
    result: dict[str, Any], place: int
) -> dict[str, tuple[int, float | None, float | None]]:
    """Seeds that count, and each other method's image-steps and seconds to a target over COTI's."""
    own = {t["seed"]: t["reached"][place] for t in result["methods"].get("COTI", [])}
    found: dict[str, tuple[int, float | None, float | None]] = {}
    for name, trials in result["methods"].items():
        if name == "COTI":
            continue
        both = [(t["reached"][place], own.get(t["seed"])) for t in trials]
        pairs = [(theirs, ours) for theirs, ours in both if theirs and ours]
        found[name] = (
            len(pairs),
            _ratio([(a["image_steps"], b["image_steps"]) for a, b in pairs]),
            _ratio([(a["seconds"], b["seconds"]) for a, b in pairs]),
        )
    return found


def _ratio(pairs: list[tuple[float, float]]) -> float | None:
    below = sum(b for _, b in pairs)
    return sum(a for a, _ in pairs) / below if below else None


def main() -> None:
    """Measure and say it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--targets", type=float, nargs="+", default=[0.8, 0.95], help="R-precisions, 0 to 1"
    )
    parser.add_argument("--steps", type=int, default=300, help="optimizer steps of each method")
    parser.add_argument("--cycle-steps", type=int, default=0, help="of COTI; 0: the config's")
    parser.add_argument("--every", type=int, default=25, help="steps between measurements")
    parser.add_argument("--images", type=int, default=128, help="images a measurement")
    parser.add_argument("--pool", type=int, default=0, help="images of the pool; 0: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    config = load_settings()
    train = replace(config.train, checkpoint_every=0)
    if given.cycle_steps:
        train = replace(train, max_steps=given.cycle_steps)
    model = load_text_to_image(replace(config.model, base_model=locate(config.model.base_model)))
    models = Models(model, Encoders(load_image_text_encoder(locate(config.scorer.model))))
    judge = load_image_text_encoder(locate(config.evaluation.judge))
    seeds = ImageSet.numbered("seed", read(sorted(Path(locate(config.seeds)).iterdir()))[1])
    files = sorted(Path(locate(config.pool)).glob("*.*"))[: given.pool or None]
    pool = ImageSet.numbered("pool", read(files)[1])
    began = time.perf_counter()
    words = (config.concept_score.distractors, config.asked_for)
    data = ConceptData(seeds, pool, embed_images(models.encoders.scorer, None, pool, seeds, *words))
    embedding_seconds = time.perf_counter() - began
    captions = candidate_captions(config.concept, config.evaluation)
    own = captions.index(config.evaluation.caption_template.replace("{}", config.concept))
    texts = normalized(judge.encode_texts(captions))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*PLAIN, "COTI")}
    for seed in given.seeds:
        settings = replace(config, seed=seed, threads=given.threads, train=train)

        def precision(embedding: Embedding, settings: RunSettings = settings) -> float:
            how = settings.generation
            generated = generate_fixed(
                model, embedding, how, given.images, settings.seed, "judge"
            ).images
            return r_precision(normalized(judge.encode_images(generated)), texts, own)

        for name, trials in found.items():
            trial = Trial(precision, given.targets)
            if name == "COTI":
                coti(trial, models, data, settings, given.steps, embedding_seconds)
            else:
                plain(trial, models, data, settings, name, given.every, given.steps)
            reached = [trial.reached(target) for target in given.targets]
            trials.append({"seed": seed, "reached": reached, "rows": trial.rows})
            print(f"seed {seed} {name:<10} best seen {trial.best:.3f}")
    result = {
        "benchmark": "ti_time_to_quality",
        **machine(model.dtype),
        "targets": given.targets,
        "candidates": len(captions),
        "images": given.images,
        "methods": found,
    }
    say(report(result), result)


if __name__ == "__main__":
    main()
