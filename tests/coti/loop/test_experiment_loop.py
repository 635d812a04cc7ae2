from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from coti.core.errors import ConfigError
from coti.core.image_set import ImageSet
from coti.core.images import read_image_folder
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.inversion.base_model import load_text_to_image
from coti.loop.experiment_loop import CellData, CellModels, run_cell
from coti.metrics.judge import embed_references
from coti.scores.scoring import embed_images
from coti.selection.strategies import pick_at_once
from coti.settings import (
    AestheticSettings,
    CellSettings,
    ControllerSettings,
    EvaluationSettings,
    GenerationSettings,
    ModelSettings,
    SelectionSettings,
    TokenSettings,
    TrainSettings,
)

POOL = Path("assets/pools/ankle_boot")
EVALUATION = EvaluationSettings(captions=("coat", "bag"), kid_subsets=3, kid_subset_size=20)
TINY = CellSettings(
    token=TokenSettings(initializer="foot"),
    aesthetic=AestheticSettings(steps=5),
    selection=SelectionSettings(batch=4),
    train=TrainSettings(max_steps=2, batch_size=2, phi_every=1),
    generation=GenerationSettings(
        num_inference_steps=1,
        guidance_scale=1.0,
        phi_images=4,
        cycle_images=64,
        sample_images=2,
    ),
    evaluation=EVALUATION,
    controller=ControllerSettings(max_cycles=1),
    judged_images=64,
    reference_judge=False,
    edit_images=2,
    images=5,
)


@pytest.fixture(scope="module")
def models() -> CellModels:
    """The bundled models, without the reference judge."""
    return CellModels(
        load_text_to_image(ModelSettings(dtype="float32")),
        load_image_text_encoder("assets/models/scorer"),
        load_image_text_encoder("assets/models/judge"),
    )


@pytest.fixture(scope="module")
def data(models: CellModels) -> CellData:
    """Ten seeds, twenty images of a pool of which every second one is right."""
    names, images = read_image_folder(POOL / "seeds", 32)
    _, references = read_image_folder(POOL / "references", 32)
    pool = ImageSet([f"p{i:02d}" for i in range(20)], references[-20:])
    pool.images[::2] = torch.randint(0, 255, (10, 3, 32, 32), dtype=torch.uint8)
    seeds = ImageSet(names, images)
    return CellData(
        "ankle boot",
        seeds,
        pool,
        ["a boot"] * 20,
        [f"{name}.png" for name in pool.names],
        embed_images(models.scorer, None, pool, seeds, ()),
        embed_references(models.judge, "ankle boot", references[:64], EVALUATION),
        right={f"{name}.png": i % 2 == 1 for i, name in enumerate(pool.names)},
    )


@pytest.mark.parametrize("strategy", ["coti", "random", "vlad", "sd_chad"])
def test_a_strategy_of_cycles_adds_b_images_a_cycle(
    models: CellModels, data: CellData, strategy: str
) -> None:
    """Two cycles, the second with B more; the cap of image-steps holds; metrics are there."""
    cell = replace(TINY, strategy=strategy)  # type: ignore[arg-type]
    result = run_cell(models, data, cell)
    assert [row["picked"] for row in result.cycles] == [0, 4]
    assert 0 < result.row["image_steps"] <= cell.image_step_cap == 8
    assert result.row["fd_judge"] > 0
    assert -1 <= result.row["reconstruction"] <= 1
    assert -1 <= result.row["editability"] <= 1
    assert result.samples.names[:2] == ["c0-0000", "c0-0001"]
    assert result.samples.names[-1] == "final-0001"


@pytest.mark.parametrize(("strategy", "picked"), [("seeds", 0), ("full", 20), ("oracle", 5)])
def test_a_strategy_without_cycles_may_take_as_many_steps(
    models: CellModels, data: CellData, strategy: str, picked: int
) -> None:
    """One cycle with the steps of two; only the oracle's images are right by construction."""
    cell = replace(TINY, strategy=strategy, growth="at_once")  # type: ignore[arg-type]
    result = run_cell(models, data, cell)
    assert len(result.picked) == picked
    assert len(result.cycles) == 1
    assert result.row["image_steps"] <= cell.image_step_cap
    assert result.row["selection_precision"] == {0: None, 5: 1.0, 20: 0.5}[picked]


def test_without_ti_the_model_draws_the_name(models: CellModels, data: CellData) -> None:
    """No steps, no embedding, yet metrics and samples."""
    result = run_cell(models, data, replace(TINY, strategy="none", growth="at_once"))
    assert result.embedding is None
    assert result.row["image_steps"] == 0
    assert result.row["r_precision_candidates"] == 3
    assert len(result.samples) == 2


def test_the_same_cell_gives_the_same_numbers(models: CellModels, data: CellData) -> None:
    """All but the seconds."""
    first, second = (run_cell(models, data, replace(TINY, edit_images=0)).row for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_the_word_of_the_nearest_cycle_is_kept(models: CellModels, data: CellData) -> None:
    """Each cycle's distance to X_T and that of the word kept before it; the last samples are
    drawn by the word that these numbers say."""
    cell = replace(TINY, controller=ControllerSettings(max_cycles=2), edit_images=0)
    result = run_cell(models, data, cell)
    best = 0
    for row in result.cycles[1:]:
        best = row["cycle"] if row["kid_train"] <= row["kid_kept"] else best
    assert math.isnan(result.cycles[0]["kid_kept"])
    assert result.cycles[0]["kid_train"] > 0
    drawn = dict(zip(result.samples.names, result.samples.images, strict=True))
    assert torch.equal(drawn["final-0000"], drawn[f"c{best}-0000"])


def test_nothing_but_the_oracle_reads_the_answer_key() -> None:
    """The key turned round changes the oracle's picks and no other strategy's."""
    sources = [f"{i}.png" for i in range(40)]
    key = {name: i % 2 == 0 for i, name in enumerate(sources)}
    turned = {name: not right for name, right in key.items()}
    for strategy in ("seeds", "random", "full"):
        cell = replace(TINY, strategy=strategy, growth="at_once")  # type: ignore[arg-type]
        assert pick_at_once(cell, sources, key) == pick_at_once(cell, sources, turned)
    oracle = replace(TINY, strategy="oracle", growth="at_once")
    assert all(key[sources[row]] for row in pick_at_once(oracle, sources, key))
    assert not any(key[sources[row]] for row in pick_at_once(oracle, sources, turned))
    with pytest.raises(ConfigError, match="ground truth"):
        pick_at_once(oracle, sources, None)


def test_a_selection_does_not_depend_on_the_answer_key(models: CellModels, data: CellData) -> None:
    """COTI picks the same images and trains the same word without the key as with it."""
    cell = replace(TINY, edit_images=0)
    with_key, without = (run_cell(models, each, cell) for each in (data, replace(data, right=None)))
    assert with_key.picked == without.picked
    assert with_key.embedding is not None
    assert without.embedding is not None
    assert torch.equal(with_key.embedding.parts[0], without.embedding.parts[0])


def test_a_growth_that_misfits_is_refused() -> None:
    """COTI at once, and an oracle by cycles."""
    with pytest.raises(ConfigError, match="growth to cycles"):
        CellSettings(growth="at_once")
    with pytest.raises(ConfigError, match="growth to at_once"):
        CellSettings(strategy="oracle")
