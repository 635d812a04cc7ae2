"""A run that fails says so in MLflow, with the sentence that its user reads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlflow.exceptions import MlflowException
from zenml.execution.pipeline.dynamic.run_context import DynamicPipelineRunContext

from coti.core.redaction import redacted
from ops.terminal import user_sentence
from ops.tracking.active_tracker import open_record

__all__ = ["failure_recorded"]


@contextmanager
def failure_recorded(**which: Any) -> Iterator[None]:
    """Inside a dynamic pipeline's function, whatever ends it early is recorded as its failure.

    A graph that is made beforehand fails elsewhere, and so does a run that is killed: the next one
    marks that.

    Args:
        which: whose record, as :func:`ops.tracking.active_tracker.open_record` takes it.
    """
    try:
        yield
    except Exception as error:
        if DynamicPipelineRunContext.get() is not None and not _is_mlflows(error):
            _record(error, which)
        raise


def _record(error: Exception, which: dict[str, Any]) -> None:
    said = user_sentence(error) or f"{type(error).__name__}: {error}"
    try:
        open_record(**which).fail(redacted(said))
    except Exception as another:  # the run's own error is the one to be told
        logging.getLogger(__name__).warning("MLflow did not take the failure: %s", another)


def _is_mlflows(error: BaseException | None) -> bool:
    """Whether MLflow is what failed: it would be asked in vain, for minutes."""
    while error is not None:
        if isinstance(error, MlflowException):
            return True
        error = error.__cause__ or error.__context__
    return False
