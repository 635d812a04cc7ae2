"""After a cycle: the record so far, whether another cycle follows, and the best embedding."""

from __future__ import annotations

import math
from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.tensors import TensorBundle
from coti.inversion.adapters.embedding import Embedding
from coti.loop.controller import CycleRecord, decide
from coti.settings import ControllerSettings
from materializers.embedding_file import EmbeddingMaterializer
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import CACHE_POLICY
from ops.tracking.record_rows import from_row, to_row

__all__ = ["control_loop"]


@step(
    cache_policy=CACHE_POLICY,
    output_materializers={
        "best_embedding": EmbeddingMaterializer,
        "best_features": TensorBundleMaterializer,
    },
)
def control_loop(
    cycle: int,
    history: list[dict[str, Any]] | None,
    training: dict[str, Any],
    evaluation: dict[str, Any],
    training_set: pd.DataFrame,
    accepted: pd.DataFrame,
    embedding: Embedding,
    best_embedding: Embedding | None,
    generated_features: TensorBundle,
    kept_features: TensorBundle | None,
    settings: ControllerSettings,
    fd_key: str,
) -> tuple[
    Annotated[Embedding, "best_embedding"],
    Annotated[TensorBundle, "best_features"],
    Annotated[list[dict[str, Any]], "history"],
    Annotated[dict[str, Any], "decision"],
]:
    """Decide from the record alone; the judge's metrics are recorded and not looked at.

    ZenML returns outputs whose materializer is named first, so they stand first here, too.
    """
    picked = training_set["origin"] == "pool"
    record = CycleRecord(
        cycle=cycle,
        pool_left=len(accepted) - int(picked.sum()),
        picked=int((picked & (training_set["cycle"] == cycle)).sum()),
        train_size=len(training_set),
        gamma_aes=evaluation["gamma_aes"],
        gamma_con=evaluation["gamma_con"],
        phi=evaluation["phi"],
        phi_ref=evaluation["phi_ref"],
        lr_stage=training["lr_stage"] + 1,
        kid_train=_number(evaluation["kid_train"]),
        kid_kept=_number(evaluation["kid_kept"]),
        fd_judge=_number(evaluation[fd_key]),
        kid=_number(evaluation["kid"]),
        kid_low=_number(evaluation["kid_low"]),
        kid_high=_number(evaluation["kid_high"]),
        r_precision=evaluation["r_precision"],
        r_precision_candidates=evaluation["r_precision_candidates"],
        selection_precision=_number(evaluation["selection_precision"]),
        seconds=training["seconds"] + evaluation["seconds"],
    )
    records = [from_row(row) for row in history or []] + [record]
    decision = decide(records, settings, record.pool_left)
    kept = (embedding, generated_features)
    if best_embedding is not None and kept_features is not None and decision.best_cycle != cycle:
        kept = (best_embedding, kept_features)
    return (
        *kept,
        [to_row(each) for each in records],
        {
            "go_on": decision.go_on,
            "reason": decision.reason,
            "best_cycle": decision.best_cycle,
        },
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
