"""Steps for an unrolled loop: once the controller has said stop, the rest pass through unchanged.

Kubeflow has no dynamic pipelines, so the static twin has a fixed number of cycles. Its later
cycles use these: each takes, beside its own inputs, the last decision and what the same step put
out a cycle ago, and hands the latter on when the loop has ended.
"""

from __future__ import annotations

import functools
import inspect
import logging
from typing import Any, Optional

import pandas as pd
from zenml import step
from zenml.steps import BaseStep
from zenml.steps.utils import get_resolved_signature, parse_return_type_annotations

from steps.control_loop import control_loop
from steps.finetune_aesthetic_scorer import finetune_aesthetic_scorer
from steps.fit_concept_scorer import fit_concept_scorer
from steps.judge_cycle import judge_cycle
from steps.score_generations import score_generations
from steps.score_pool import score_pool
from steps.select_batch import select_batch
from steps.track_cycle import track_cycle
from steps.train_cycle import train_cycle

__all__ = ["LATER", "previous_name"]

_log = logging.getLogger(__name__)


def previous_name(output: str) -> str:
    """The input that takes what the step put out a cycle ago."""
    return f"previous_{output}"


def _passing_through(original: BaseStep, name: str) -> BaseStep:
    """A step called ``name`` that does what ``original`` does, or nothing once the loop ended."""
    function = original.entrypoint
    signature = get_resolved_signature(function)
    outputs = parse_return_type_annotations(function)

    @functools.wraps(function)
    def through(last_decision: dict[str, Any], **inputs: Any) -> Any:
        previous = [inputs.pop(previous_name(output)) for output in outputs]
        if last_decision["go_on"]:
            return function(**inputs)
        _log.info("%s: the loop has ended; passed through unchanged.", function.__name__)
        # What the first cycle does not have yet is an empty table. A decision to end stays one.
        whole = [
            last_decision if output == "decision" else pd.DataFrame() if each is None else each
            for output, each in zip(outputs, previous, strict=True)
        ]
        return whole[0] if len(whole) == 1 else tuple(whole) or None

    keyword = inspect.Parameter.KEYWORD_ONLY
    more = [inspect.Parameter("last_decision", keyword, annotation=dict[str, Any])]
    for output, spec in outputs.items():
        kind: Any = Optional[spec.resolved_annotation]  # noqa: UP045
        more.append(
            inspect.Parameter(previous_name(output), keyword, annotation=kind, default=None)
        )
    own = [each.replace(kind=keyword) for each in signature.parameters.values()]
    through.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
    through.__name__ = through.__qualname__ = name
    through.__module__ = __name__
    config = original.configuration
    decorate = step(
        name=config.name,
        enable_cache=config.enable_cache,
        cache_policy=config.cache_policy,
        output_materializers={
            output: spec.materializer_source
            for output, spec in config.outputs.items()
            if spec.materializer_source
        },
    )
    made: BaseStep = decorate(through)
    return made


LATER: dict[str, BaseStep] = {}
"""Of each step of a cycle, by its name, the one that the cycles after the first use."""
for _each in (
    fit_concept_scorer,
    finetune_aesthetic_scorer,
    score_pool,
    select_batch,
    train_cycle,
    score_generations,
    judge_cycle,
    control_loop,
    track_cycle,
):
    _name = f"{_each.name}_or_pass"
    # A variable, too: a container finds its step by the module's and the variable's name.
    globals()[_name] = LATER[_each.name] = _passing_through(_each, _name)
