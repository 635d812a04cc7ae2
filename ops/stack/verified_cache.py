"""A step's result comes from the cache if it is what the step wrote; else the step runs again.

ZenML 0.98 takes whatever lies in the artifact store, and steps find out when they read it: too late
for the run to compute it again.
"""

from __future__ import annotations

import functools

import click
from zenml.client import Client
from zenml.models import StepRunResponse
from zenml.orchestrators import cache_utils
from zenml.utils import source_utils
from zenml.utils.time_utils import utc_now

from materializers.files import DamagedArtifactError, FileMaterializer

__all__ = ["verify_cache"]


@functools.cache
def verify_cache() -> None:
    """Have ZenML's cache compared before it is taken. Calling it again does nothing."""
    original = cache_utils.get_cached_step_run

    def whole(cache_key: str) -> StepRunResponse | None:
        while (found := original(cache_key)) is not None:
            try:
                _verify(found)
            except DamagedArtifactError as error:
                click.echo(f"{error.what[0].upper()}{error.what[1:]}: it is computed anew.")
                Client().update_step_run(found.id, cache_expires_at=utc_now())
            else:
                break
        return found

    cache_utils.get_cached_step_run = whole


def _verify(step: StepRunResponse) -> None:
    """Compare all that a step put out.

    Raises:
        DamagedArtifactError: it is not what it wrote.
    """
    for versions in step.outputs.values():
        for version in versions:
            kind = source_utils.load(version.materializer)
            if issubclass(kind, FileMaterializer):
                stored = kind(version.uri)
                stored.expected_content_hash = version.content_hash
                stored.verify()
