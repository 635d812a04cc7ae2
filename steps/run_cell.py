"""One cell of an experiment: a concept, a strategy and a seed. Its cache entry is the sweep's
memory: a cell that is done comes back, an interrupted sweep goes on with the next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.loop.experiment_loop import CellData
from coti.metrics.judge import read_ground_truth
from coti.pool.pool_images import PoolImages
from coti.settings import CellSettings, ModelSettings, ScorerSettings
from materializers.image_mosaic import ImageSetMaterializer
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import CACHE_POLICY
from ops.stack.experiment_workers import CellInputs, compute_cell
from ops.stack.loaded_models import located_aesthetic, located_token
from ops.stack.locations import locate

__all__ = ["run_cell"]


@step(
    cache_policy=CACHE_POLICY,
    output_materializers={
        "samples": ImageSetMaterializer,
        "word": TensorBundleMaterializer,
    },
)
def run_cell(
    concept: str,
    accepted: pd.DataFrame,
    pool_images: PoolImages,
    seed_images: ImageSet,
    features: TensorBundle,
    references: TensorBundle,
    reference_judge_features: TensorBundle,
    ground_truth: str | None,
    weights: dict[str, str],
    model: ModelSettings,
    scorer: ScorerSettings,
    cell: CellSettings,
) -> tuple[
    Annotated[ImageSet, "samples"],
    Annotated[TensorBundle, "word"],
    Annotated[dict[str, Any], "row"],
    Annotated[list[dict[str, Any]], "cycles"],
    Annotated[list[str], "picked"],
]:
    """Samples by cycle, the kept word, its metrics, a row a cycle, and what was picked.

    ``weights`` holds the hashes of all models and of the ground truth, for the cache alone.
    """
    ids = [str(name) for name in accepted["id"]]
    data = CellData(
        concept=concept,
        seeds=seed_images,
        pool=ImageSet(ids, pool_images.tensor(ids)),
        captions=[str(text) for text in accepted["caption"].fillna("")],
        sources=[str(name) for name in accepted["source"]],
        features=features,
        references=references,
        reference_judge_features=reference_judge_features.tensors.get("references"),
        right=None
        if ground_truth is None
        else read_ground_truth(Path(locate(ground_truth)), concept),
    )
    result = compute_cell(CellInputs(data, model, scorer, _located(cell)))
    word = {} if result.embedding is None else {result.embedding.token: result.embedding.vectors}
    about = {} if result.embedding is None else dict(result.embedding.metadata)
    cycles = [_plain(row) for row in result.cycles]
    return result.samples, TensorBundle(word, about), _plain(result.row), cycles, result.picked


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """JSON values: NaN becomes null."""
    return {k: None if isinstance(v, float) and v != v else v for k, v in row.items()}


def _located(cell: CellSettings) -> CellSettings:
    """The settings with their files found."""
    baselines = cell.baselines
    names = ("efficientnet", "lpips", "relic", "tanet", "sd_chad")
    found: dict[str, Any] = {
        name: getattr(baselines, name) and locate(getattr(baselines, name)) for name in names
    }
    return replace(
        cell,
        aesthetic=located_aesthetic(cell.aesthetic),
        token=located_token(cell.token),
        baselines=replace(baselines, **found),
    )
