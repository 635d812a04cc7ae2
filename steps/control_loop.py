"""After a cycle: the record so far, whether another follows, and the embedding that is kept."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.tensors import TensorBundle
from coti.inversion.adapters.embedding import Embedding
from coti.loop.controller import decide
from coti.loop.record import CycleRecord, record_of
from coti.settings import ControllerSettings
from materializers.embedding_safetensors import EmbeddingMaterializer
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loop_inputs import training_set_of

__all__ = ["control_loop"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={
        "kept_embedding": EmbeddingMaterializer,
        "kept_features": TensorBundleMaterializer,
    },
)
def control_loop(
    cycle: int,
    history: list[dict[str, Any]] | None,
    training: dict[str, Any],
    scored: dict[str, Any],
    training_set: pd.DataFrame,
    accepted: pd.DataFrame,
    embedding: Embedding,
    kept_embedding: Embedding | None,
    generated_features: TensorBundle,
    kept_features: TensorBundle | None,
    settings: ControllerSettings,
) -> tuple[
    Annotated[Embedding, "kept_embedding"],
    Annotated[TensorBundle, "kept_features"],
    Annotated[list[dict[str, Any]], "history"],
    Annotated[dict[str, Any], "decision"],
]:
    """Decide from the record alone; nothing here comes from the judge.

    ZenML returns outputs whose materializer is named first, so they stand first here, too.
    """
    records = [CycleRecord.of(row) for row in history or []]
    records.append(
        record_of(
            cycle=cycle,
            before=records,
            training_set=training_set_of(training_set),
            accepted=list(accepted["id"].astype(str)),
            generated=int(scored["generated"]),
            training=training,
            metrics=scored["metrics"],
            scoring=float(scored["seconds"]),
        )
    )
    decision = decide(records, settings)
    kept = (embedding, generated_features)
    if kept_embedding is not None and kept_features is not None and decision.kept_cycle != cycle:
        kept = (kept_embedding, kept_features)
    return *kept, [each.row() for each in records], asdict(decision)
