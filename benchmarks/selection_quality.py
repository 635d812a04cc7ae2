"""How right and how varied a selection is: each kind of S_con on pools of the bundled world.

    python -m benchmarks.selection_quality                                   # all, some minutes
    python -m benchmarks.selection_quality --concepts coat --pools 0 1 2

Five cycles of 30 images on the real scores: S_aes fine-tuned and S_con fitted anew before each.
Nothing is trained or generated, so γ_aes and γ_con of the generations are given (``--gammas``).
``precision`` is the share of the picks that are clean images of the concept, by the ground truth.
``fd`` is the Fréchet distance of seeds and picks to held-out references on the judge's features:
what perfect training on X_T could reach at best. ``oracle`` picks clean images at random, which
no method without the ground truth can. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from assets.build import world
from assets.build.make_pool import make_pool
from benchmarks.result import say, table
from coti.core.errors import PoolError
from coti.core.image_set import ImageSet
from coti.core.images import from_pil, read_image
from coti.core.tensors import TensorBundle
from coti.encoders.open_clip_encoder import OpenClipEncoder, load_image_text_encoder
from coti.loop.fit_scorers import finetune_aesthetic_scorer, fit_concept_scorer
from coti.loop.inputs import Encoders
from coti.loop.score_pool import score_pool
from coti.loop.select_batch import select_batch
from coti.loop.state import LoopState
from coti.loop.training_set import TrainingSet
from coti.metrics.frechet import frechet_distance
from coti.scores.features_to_scores import embed_images
from coti.settings import ConceptScoreSettings, RunSettings, SelectionSettings

CYCLES, BATCH = 5, 30
PRINTED = SelectionSettings(batch=BATCH, weight_floor=0.0, concept_gate=0.0, spread=1.0)
GATED = SelectionSettings(batch=BATCH, weight_floor=0.3, concept_gate=5.0, spread=1.0)
ROWS: dict[str, tuple[ConceptScoreSettings, SelectionSettings, bool]] = {
    "min_cosine, as printed": (ConceptScoreSettings(kind="min_cosine"), PRINTED, False),
    "min_cosine": (ConceptScoreSettings(kind="min_cosine"), GATED, False),
    "calibrated": (ConceptScoreSettings(kind="calibrated"), GATED, False),
    "knn": (ConceptScoreSettings(kind="knn"), GATED, False),
    "classifier, as printed": (ConceptScoreSettings(), PRINTED, False),
    "classifier": (ConceptScoreSettings(), GATED, False),
    "classifier, names given": (ConceptScoreSettings(), GATED, True),
    "classifier, spread 6": (ConceptScoreSettings(), replace(GATED, spread=6.0), False),
    "classifier, spread 10": (ConceptScoreSettings(), replace(GATED, spread=10.0), False),
    "classifier, spread 20": (ConceptScoreSettings(), replace(GATED, spread=20.0), False),
}
"""What is called how: S_con, selection, and whether the other things' names are given."""


@dataclass(frozen=True)
class Case:
    """One pool, as features."""

    seeds: ImageSet
    features: TensorBundle
    """Of ``embed_images``, the other things' names as distractors."""
    encoders: Encoders
    clean: torch.Tensor
    """bool [n], by the ground truth."""
    judged_seeds: torch.Tensor
    judged_pool: torch.Tensor
    references: torch.Tensor


def read(paths: list[Path]) -> tuple[list[Path], torch.Tensor]:
    """The paths that hold an image not seen before, and the images."""
    kept, parts, seen = [], [], set()
    for path in paths:
        try:
            image = from_pil([read_image(path)], world.RESOLUTION)
        except PoolError:
            continue
        data = image.numpy().tobytes()
        if data not in seen:
            seen.add(data)
            kept.append(path)
            parts.append(image)
    return kept, torch.cat(parts)


@dataclass(frozen=True)
class MadePool:
    """A pool of the bundled world: uint8 [n, 3, h, w] each, broken files left out."""

    pool: torch.Tensor
    clean: torch.Tensor
    """bool [n], by the ground truth."""
    seeds: torch.Tensor
    references: torch.Tensor


def made_pool(concept: str, seed: int) -> MadePool:
    """Make a pool in a temporary folder and read it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "pool"
        make_pool(concept, folder, seed=seed)
        with (folder / "ground_truth.csv").open(encoding="utf-8", newline="") as file:
            key = {row["file_name"]: row for row in csv.DictReader(file) if row["kind"] != "broken"}
        paths, pool = read([folder / "pool" / name for name in key])
        seeds = read(sorted((folder / "seeds").iterdir()))[1]
        references = read(sorted((folder / "references").iterdir()))[1]
    rows = [key[path.name] for path in paths]
    clean = [row["class"] == concept and row["kind"] != "degraded" for row in rows]
    return MadePool(pool, torch.tensor(clean), seeds, references)


def make_case(concept: str, seed: int, scorer: OpenClipEncoder, judge: OpenClipEncoder) -> Case:
    """Make a pool and encode it."""
    made = made_pool(concept, seed)
    pool, seeds, references = made.pool, made.seeds, made.references
    others = [name for name in world.CLASS_NAMES if name != concept]
    seed_set = ImageSet.numbered("seed", seeds)
    return Case(
        seeds=seed_set,
        features=embed_images(scorer, None, ImageSet.numbered("pool", pool), seed_set, others),
        encoders=Encoders(scorer),
        clean=made.clean,
        judged_seeds=judge.encode_images(seeds),
        judged_pool=judge.encode_images(pool),
        references=judge.encode_images(references),
    )


def pick(
    case: Case,
    concept: ConceptScoreSettings,
    selection: SelectionSettings,
    named: bool,
    gammas: tuple[float, float],
) -> list[int]:
    """Rows of the pool that five cycles pick."""
    settings = RunSettings(concept_score=concept, selection=selection)
    features = (
        case.features
        if named
        else TensorBundle(
            {name: value for name, value in case.features.tensors.items() if name != "distractors"},
            case.features.metadata,
        )
    )
    state = LoopState(TrainingSet(tuple(case.seeds.names)), cycle=1, gammas=gammas)
    for _ in range(CYCLES):
        state = state.with_head(
            finetune_aesthetic_scorer(state, features, {}, case.seeds, case.encoders, settings)
        )
        state = state.with_concept(fit_concept_scorer(state, features, settings))
        grown = select_batch(state, score_pool(state, features, settings))
        state = replace(state, training_set=grown).next_cycle(gammas, kept=None)
    place = {name: row for row, name in enumerate(features.strings("pool_ids"))}
    return [place[name] for name in state.training_set.selected]


def measure(case: Case, picked: list[int]) -> tuple[float, float]:
    """Precision of the picks, and the Fréchet distance of X_T."""
    training_set = torch.cat([case.judged_seeds, case.judged_pool[picked]])
    precision = float(case.clean[picked].double().mean())
    return precision, frechet_distance(training_set, case.references)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="selection precision of each kind of S_con")
    parser.add_argument("--concepts", nargs="+", default=list(world.BENCHMARK_CONCEPTS))
    parser.add_argument("--pools", nargs="+", type=int, default=[0], help="seeds of the pools")
    parser.add_argument("--gammas", nargs=2, type=float, default=[6.0, 8.0], metavar="GAMMA")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    scorer = load_image_text_encoder("assets/models/scorer")
    judge = load_image_text_encoder("assets/models/judge")
    found: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    cases = [(concept, seed) for concept in given.concepts for seed in given.pools]
    for concept, seed in tqdm(cases, "pools", leave=False, disable=None):
        case = make_case(concept, seed, scorer, judge)
        generator = torch.Generator().manual_seed(seed)
        for name, rows in (
            ("random", torch.arange(len(case.clean))),
            ("oracle", case.clean.nonzero().squeeze(1)),
        ):
            order = torch.randperm(len(rows), generator=generator)[: CYCLES * BATCH]
            found[name][concept].append(measure(case, rows[order].tolist()))
        for name, (kind, selection, named) in ROWS.items():
            picked = pick(case, kind, selection, named, tuple(given.gammas))
            found[name][concept].append(measure(case, picked))
    means = {
        name: {
            concept: torch.tensor(values).mean(dim=0).tolist() for concept, values in row.items()
        }
        for name, row in found.items()
    }
    lines = []
    for name, row in means.items():
        both = torch.tensor([row[concept] for concept in given.concepts])
        cells = [f"{precision:.3f} / {distance:.2f}" for precision, distance in both.tolist()]
        mean = both.mean(dim=0).tolist()
        cells += [f"{mean[0]:.3f} / {mean[1]:.2f}", f"{both[:, 0].min():.3f}"]
        lines.append([name, *cells])
    shown = table(["precision / fd of X_T", *given.concepts, "mean", "worst"], lines)
    say(shown, {"benchmark": "selection_precision", "pools": given.pools, "rows": means})


if __name__ == "__main__":
    main()
