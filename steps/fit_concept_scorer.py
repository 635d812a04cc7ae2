"""Fit S_con (Eq. 8) to X_T, once for each X_T there is."""

from __future__ import annotations

from typing import Annotated

import pandas as pd
from zenml import step

from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.loop.fit_scorers import fit_concept_scorer as fit
from coti.loop.state import LoopState
from coti.settings import RunSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loop_inputs import training_set_of

__all__ = ["fit_concept_scorer"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={"concept_scorer": TensorBundleMaterializer},
)
@on_its_threads
def fit_concept_scorer(
    features: TensorBundle, training_set: pd.DataFrame, settings: RunSettings
) -> Annotated[TensorBundle, "concept_scorer"]:
    """The fitted scorer as tensors."""
    state = LoopState(training_set_of(training_set))
    return TensorBundle(fit(state, features, settings).to_tensors())
