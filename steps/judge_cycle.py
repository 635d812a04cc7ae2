"""What only watches: the judge's metrics of a cycle, on held-out references."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.loop.judge_cycle import judge_cycle as judge
from coti.settings import RunSettings
from ops.stack.cache_policy import cached_by
from ops.stack.loaded_models import inception_of, judge_of, ssl_judge_of
from ops.stack.loop_inputs import ground_truth_of, sources_of, training_set_of

__all__ = ["judge_cycle"]


@step(cache_policy=cached_by(__name__))
@on_its_threads
def judge_cycle(
    generated: ImageSet,
    references: TensorBundle,
    training_set: pd.DataFrame,
    accepted: pd.DataFrame,
    settings: RunSettings,
    judge_fingerprint: str,
    ssl_judge_fingerprint: str,
    ground_truth_fingerprint: str,
) -> Annotated[dict[str, Any], "judged"]:
    """``metrics``, ``references`` (how many) and ``seconds``; no step that steers takes them."""
    return judge(
        generated=generated.images,
        references=references,
        training_set=training_set_of(training_set),
        sources=sources_of(accepted, training_set),
        settings=settings,
        judge=judge_of(settings.evaluation),
        inception=inception_of(settings.evaluation),
        ssl_judge=ssl_judge_of(settings.evaluation),
        ground_truth=ground_truth_of(settings),
    )
