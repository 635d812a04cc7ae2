"""One run of an experiment: a concept, a strategy and a seed. Its cache entry is the sweep's
memory: a run that is done comes back, an interrupted sweep goes on with the next."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.loop.data import ConceptData
from coti.pool.pool_images import PoolImages
from coti.settings import RunSettings
from materializers.image_mosaic import ImageSetMaterializer
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.experiment_workers import RunInputs, compute_run
from ops.stack.loaded_models import located
from ops.stack.loop_inputs import (
    captions_of,
    embedding_bundle,
    ground_truth_of,
    on_device,
    plain,
    sources_of,
)
from ops.stack.review_inputs import reviewed_of

__all__ = ["run_experiment"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={
        "samples": ImageSetMaterializer,
        "embedding": TensorBundleMaterializer,
    },
)
def run_experiment(
    accepted: pd.DataFrame,
    pool_images: PoolImages,
    seed_images: ImageSet,
    training_set: pd.DataFrame,
    features: TensorBundle,
    references: TensorBundle,
    reference_judge: TensorBundle,
    weights: dict[str, str],
    settings: RunSettings,
    device: str,
) -> tuple[
    Annotated[ImageSet, "samples"],
    Annotated[TensorBundle, "embedding"],
    Annotated[dict[str, Any], "row"],
    Annotated[list[dict[str, Any]], "cycles"],
    Annotated[list[str], "selected"],
]:
    """Samples by cycle, the kept embedding, its metrics, a row a cycle, and what was selected.

    ``weights`` holds the hashes of all models and of the ground truth, for the cache alone.
    """
    ids = [str(name) for name in accepted["id"]]
    data = ConceptData(
        seeds=seed_images,
        pool=ImageSet(ids, pool_images.tensor(ids)),
        features=features,
        captions=captions_of(accepted),
        sources=sources_of(accepted, training_set),
        references=references,
        reference_judge=reference_judge.tensors.get("references"),
        ground_truth=ground_truth_of(settings),
        reviewed=reviewed_of(accepted, training_set),
    )
    result = compute_run(RunInputs(data, located(on_device(settings, device))))
    cycles = [plain(row) for row in result.cycles]
    embedding = embedding_bundle(result.embedding)
    return result.samples, embedding, plain(result.row), cycles, result.selected
