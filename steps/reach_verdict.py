"""Whether the run worked, from facts that need no ground truth; nothing that steers reads it."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.loop.facts import generation_facts
from coti.loop.verdict import verdict_of
from coti.settings import RunSettings
from ops.stack.cache_policy import cached_by
from ops.stack.loop_inputs import training_set_of

__all__ = ["reach_verdict"]


@step(cache_policy=cached_by(__name__))
@on_its_threads
def reach_verdict(
    facts: dict[str, float],
    features: TensorBundle,
    kept_features: TensorBundle,
    training_set: pd.DataFrame,
    decision: dict[str, Any],
    settings: RunSettings,
) -> Annotated[dict[str, Any], "verdict"]:
    """Outcome, reasons and facts of the kept cycle; ``facts`` are those of before training.

    ``settings`` say how many threads compute them.
    """
    kept = training_set_of(training_set).as_of(int(decision["kept_cycle"]))
    found = generation_facts(
        kept_features["generated"], kept_features["statistics"], features, kept
    )
    return verdict_of({**facts, **found}).row()
