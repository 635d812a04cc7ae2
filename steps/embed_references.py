"""The judges' features of the held-out references and of the candidate captions, once."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.metrics.judge import embed_references as embed
from coti.metrics.judge import images_needed, shortfalls
from coti.pool.references import read_references
from coti.settings import RunSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loaded_models import inception_of, judge_of, ssl_judge_of
from ops.stack.locations import locate

__all__ = ["embed_references"]


@step(
    cache_policy=cached_by(__name__), output_materializers={"references": TensorBundleMaterializer}
)
@on_its_threads
def embed_references(
    settings: RunSettings,
    resolution: int,
    references_fingerprint: str,
    judge_fingerprint: str,
    ssl_judge_fingerprint: str,
) -> tuple[Annotated[TensorBundle, "references"], Annotated[list[str], "shortfalls"]]:
    """The features, and what will be missing for want of images, a sentence each."""
    own = settings.evaluation
    judge, inception, ssl_judge = judge_of(own), inception_of(own), ssl_judge_of(own)
    images, missing = None, []
    if settings.references is not None:
        images = read_references(
            locate(settings.references), resolution, settings.images.rule, own.references_half
        )
        needed = images_needed(judge, inception, ssl_judge)
        missing = shortfalls(settings.generation.cycle_images, len(images), needed)
    return embed(judge, settings.concept, images, own, inception, ssl_judge), missing
