"""One cell of an experiment, from the untrained word to its metrics: the paper's Algorithm 1 and
the ways of training that it is compared with, in plain Python.

The same functions that the main job's steps call; here they run in one go, so that a cell is one
unit that is done or not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from coti.core.errors import ConfigError
from coti.core.image_set import ImageSet
from coti.core.seeding import derived_seed
from coti.generation.fixed_noise import generate_fixed
from coti.generation.sampler import generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.trainer import train_cycle
from coti.loop.controller import CycleRecord, decide
from coti.loop.experiment_data import CellData, CellModels, CellResult
from coti.metrics import frechet_distance, selection_precision
from coti.metrics.embedding_quality import measure_embedding
from coti.metrics.judge import judge_images
from coti.scores.aesthetic import AestheticHead
from coti.scores.baselines import baseline_scores
from coti.scores.formulas import PhiValue
from coti.scores.scoring import (
    ImageScorer,
    distance_to_training,
    finetune_for_cycle,
    fit_concept,
    rows_of,
    score_candidates,
)
from coti.selection.strategies import pick_at_once, pick_for_cycle
from coti.settings.experiment import CellSettings

__all__ = ["CellData", "CellModels", "CellResult", "run_cell"]


@dataclass
class _Run:
    """The state of the loop."""

    members: dict[str, int]
    """X_T: id to the cycle that added it."""
    gammas: tuple[float, float] = (0.0, 0.0)
    first_head: AestheticHead | None = None
    best: tuple[Embedding, list[str]] | None = None
    """The kept word, and the X_T it was trained on."""
    drawn: torch.Tensor | None = None
    """Features of what the last cycle's word draws, on the scorer."""
    kept: torch.Tensor | None = None
    """Those of what the kept word draws."""
    records: list[CycleRecord] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    samples: list[ImageSet] = field(default_factory=list)
    image_steps: int = 0


def run_cell(models: CellModels, data: CellData, cell: CellSettings) -> CellResult:
    """Train by one strategy, keep the best cycle's word, and measure what it draws.

    The same models, data, settings and number of threads give the same numbers.

    Raises:
        CotiError: settings, images and models that don't go together.
    """
    started = time.monotonic()
    if cell.strategy == "none":
        word, run = None, _Run({})
        final = _sampled("final", _drawn(models, data, cell, None, "sample"))
        picked: list[str] = []
    else:
        run = _train(models, data, cell)
        if run.best is None:
            raise ConfigError(f"strategy {cell.strategy} trained nothing.")
        word, ids = run.best
        final = _sampled("final", _drawn(models, data, cell, word, "sample"))
        place = dict(zip(data.pool.names, data.sources, strict=True))
        picked = [place[name] for name in ids if name in place]
    row = _measure(models, data, cell, word, picked if word is not None else None, run)
    row["seconds"] = time.monotonic() - started
    samples = [*run.samples, final]
    return CellResult(
        row,
        run.rows,
        word,
        ImageSet(
            [n for each in samples for n in each.names], torch.cat([s.images for s in samples])
        ),
        picked,
    )


def _train(models: CellModels, data: CellData, cell: CellSettings) -> _Run:
    """The loop: score, select, train, look at what is drawn, decide (Algorithm 1)."""
    seed, at_once = cell.seed, cell.growth == "at_once"
    start = Embedding.initial(
        models.network, cell.token, derived_seed(seed, "initializer"), data.concept
    )
    controller, train = cell.controller, cell.train
    if at_once:  # one cycle, with the steps that all cycles together may take
        train = replace(train, max_steps=train.max_steps * (controller.max_cycles + 1))
        controller = replace(controller, max_cycles=0)
    run = _Run(dict.fromkeys(data.seeds.names, 0))
    if at_once:
        rows = pick_at_once(cell, data.sources, data.right)
        run.members |= {data.pool.names[row]: 0 for row in rows}
    fixed = None
    if cell.strategy not in ("coti", "random") and not at_once:
        fixed = baseline_scores(
            cell.strategy, data.pool.images, data.seeds.images, data.features, cell.baselines,
            models.second, derived_seed(seed, "baseline"),
        )  # fmt: skip
    word, cycle, go_on = start, 0, True
    while go_on:
        began = time.monotonic()
        head = finetune_for_cycle(
            data.features,
            dict(zip(data.pool.names, data.sources, strict=True)),
            data.seeds,
            run.members,
            cycle,
            models.scorer,
            cell.aesthetic,
            derived_seed(seed, "aesthetic", cycle),
        )
        run.first_head = run.first_head or head
        if cycle:
            added = _select(data, cell, cycle, run, head, fixed)
            run.members |= dict.fromkeys(added, cycle)
        scorer = _scorer(models, data, cell, head, list(run.members))

        def evaluate_phi(
            embedding: Embedding, _step: int, scorer: ImageScorer = scorer
        ) -> PhiValue:
            how = cell.generation
            drawn = generate_fixed(models.network, embedding, how, how.phi_images, seed, "phi")
            return scorer.indicator(drawn.images)

        images, captions = _training_images(data, list(run.members))
        result = train_cycle(
            models.network,
            images,
            captions,
            start if train.reinitialize else word,
            replace(train, checkpoint_every=0),
            cell.schedule,
            evaluate_phi if cell.schedule.dynamic else None,
            derived_seed(seed, "train", cycle),
            token=cell.token,
        )
        word = result.embedding
        run.image_steps += result.image_steps
        record = _record(models, data, cell, run, cycle, word, scorer)
        record = replace(
            record,
            lr_stage=int(result.curve[-1]["stage"] or 0) + 1,
            seconds=time.monotonic() - began,
        )
        run.records.append(record)
        run.rows.append({**asdict(record), "image_steps": run.image_steps})
        run.samples.append(_sampled(f"c{cycle}", _drawn(models, data, cell, word, "sample")))
        decision = decide(run.records, controller, record.pool_left)
        if decision.best_cycle == cycle:
            run.best, run.kept = (word, list(run.members)), run.drawn
        go_on, cycle = decision.go_on, cycle + 1
    return run


def _select(
    data: CellData,
    cell: CellSettings,
    cycle: int,
    run: _Run,
    head: AestheticHead,
    fixed: torch.Tensor | None,
) -> list[str]:
    """Ids that this cycle adds."""
    candidates = torch.tensor([name not in run.members for name in data.pool.names])
    if cell.strategy == "coti":
        gammas = run.gammas if cell.combine == "intelligent" else (0.0, 0.0)
        columns = score_candidates(
            data.features,
            head,
            fit_concept(data.features, list(run.members), cell.concept_score, cell.seed),
            *gammas,
            cell.selection.weight_floor,
        )
        tensors = {name: torch.from_numpy(columns[name]) for name in ("s_int", "s_aes", "s_con")}
    else:
        score = torch.zeros(len(candidates)) if fixed is None else fixed
        tensors = {"s_int": score}
    rows = pick_for_cycle(
        cell,
        cycle,
        candidates,
        score=tensors["s_int"],
        s_aes=tensors.get("s_aes"),
        s_con=tensors.get("s_con"),
        features=rows_of(data.features, data.pool.names),
    )
    return [data.pool.names[row] for row in rows]


def _scorer(
    models: CellModels, data: CellData, cell: CellSettings, head: AestheticHead, ids: list[str]
) -> ImageScorer:
    concept = fit_concept(data.features, ids, cell.concept_score, cell.seed)
    return ImageScorer(models.scorer, models.concept_encoder, head, concept)


def _training_images(data: CellData, ids: list[str]) -> tuple[torch.Tensor, list[str]]:
    """X_T: uint8 [n, 3, h, w] with captions; seeds have none."""
    place = {name: row for row, name in enumerate([*data.seeds.names, *data.pool.names])}
    rows = torch.tensor([place[name] for name in ids])
    captions = [*[""] * len(data.seeds), *data.captions]
    return torch.cat([data.seeds.images, data.pool.images])[rows], [captions[r] for r in rows]


def _record(
    models: CellModels,
    data: CellData,
    cell: CellSettings,
    run: _Run,
    cycle: int,
    word: Embedding,
    scorer: ImageScorer,
) -> CycleRecord:
    """φ, φ_ref and the judge's view of what the cycle's word draws; sets γ for the next cycle."""
    how = cell.generation
    generated = generate_fixed(
        models.network, word, how, how.cycle_images, cell.seed, "cycle"
    ).images
    encoded = scorer.encode(generated)
    value = scorer.indicator(encoded)
    run.drawn = encoded.features
    run.gammas = (value.gamma_aes, value.gamma_con)
    if run.first_head is None:
        raise ConfigError("the first aesthetic head is missing.")
    reference = _scorer(models, data, cell, run.first_head, data.seeds.names)
    verdict = judge_images(
        models.judge, generated, data.references, data.concept, cell.evaluation, cell.seed
    )
    seeds, members = set(data.seeds.names), list(run.members)
    picked = [name for name in members if name not in seeds]
    return CycleRecord(
        cycle=cycle,
        pool_left=len(data.pool) - len(picked),
        picked=sum(run.members[name] == cycle for name in picked),
        train_size=len(run.members),
        gamma_aes=value.gamma_aes,
        gamma_con=value.gamma_con,
        phi=value.phi,
        phi_ref=reference.indicator(encoded).phi,
        lr_stage=0,
        kid_train=distance_to_training(run.drawn, data.features, members),
        kid_kept=math.nan
        if run.kept is None
        else distance_to_training(run.kept, data.features, members),
        fd_judge=_number(verdict[f"fd_{cell.evaluation.fd_name}"]),
        kid=_number(verdict["kid"]),
        kid_low=_number(verdict["kid_low"]),
        kid_high=_number(verdict["kid_high"]),
        r_precision=verdict["r_precision"],
        r_precision_candidates=verdict["r_precision_candidates"],
        selection_precision=_number(_precision(data, picked)),
    )


def _precision(data: CellData, ids: Sequence[str]) -> float | None:
    if data.right is None or not ids:
        return None
    place = dict(zip(data.pool.names, data.sources, strict=True))
    return selection_precision([place[name] for name in ids], data.right)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _drawn(
    models: CellModels, data: CellData, cell: CellSettings, word: Embedding | None, purpose: str
) -> torch.Tensor:
    """Images on fixed noise, the same noise for every strategy: uint8 [n, 3, h, w]."""
    how = cell.generation
    count = cell.judged_images if purpose == "judge" else how.sample_images
    if word is not None:
        return generate_fixed(models.network, word, how, count, cell.seed, purpose).images
    prompts = [how.prompts[i % len(how.prompts)].replace("{}", data.concept) for i in range(count)]
    return generate(models.network, prompts, [], how, derived_seed(cell.seed, purpose))


def _sampled(name: str, images: torch.Tensor) -> ImageSet:
    return ImageSet([f"{name}-{number:04d}" for number in range(len(images))], images)


def _measure(
    models: CellModels,
    data: CellData,
    cell: CellSettings,
    word: Embedding | None,
    picked: Sequence[str] | None,
    run: _Run,
) -> dict[str, Any]:
    """All metrics of the kept word."""
    images = _drawn(models, data, cell, word, "judge")
    verdict = judge_images(
        models.judge, images, data.references, data.concept, cell.evaluation, cell.seed
    )
    second = None
    if models.second is not None and data.reference_judge_features is not None:
        second = frechet_distance(
            models.second.encode_images(images), data.reference_judge_features
        )
    right = None
    if picked and data.right is not None:
        right = selection_precision(picked, data.right)
    return {
        "concept": data.concept,
        "strategy": cell.strategy,
        "seed": cell.seed,
        "fd_judge": verdict[f"fd_{cell.evaluation.fd_name}"],
        "fd_efficientnet": second,
        "kid": verdict["kid"],
        "kid_low": verdict["kid_low"],
        "kid_high": verdict["kid_high"],
        "r_precision": verdict["r_precision"],
        "r_precision_candidates": verdict["r_precision_candidates"],
        "selection_precision": right,
        "images": len(picked or ()),
        "image_steps": run.image_steps,
        "image_step_cap": cell.image_step_cap,
        **_textual_inversion_metrics(models, data, cell, word, run),
    }


def _textual_inversion_metrics(
    models: CellModels, data: CellData, cell: CellSettings, word: Embedding | None, run: _Run
) -> dict[str, float | None]:
    """Reconstruction and editability (Gal et al. 2022) on the judge's features."""
    if word is None or run.best is None or not cell.edit_images:
        return {"reconstruction": None, "editability": None}
    found = measure_embedding(
        models.network,
        models.judge,
        word,
        _training_images(data, run.best[1])[0],
        settings=cell.generation,
        seed=derived_seed(cell.seed, "editability"),
        images_per_prompt=cell.edit_images,
    )
    return {
        "reconstruction": found.reconstruction,
        "editability": found.editability,
        **{f"editability_{name}": value for name, value in found.by_difficulty.items()},
    }
