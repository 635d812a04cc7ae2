"""The judge's features of the held-out references and of the candidate captions, once."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.metrics.judge import embed_references as embed
from coti.metrics.judge import images_needed, shortfalls
from coti.pool.chosen_images import read_chosen_images
from coti.settings import RunSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loaded_models import inception_of, judge_of
from ops.stack.locations import locate

__all__ = ["embed_references"]


@step(
    cache_policy=cached_by(__name__), output_materializers={"references": TensorBundleMaterializer}
)
@on_its_threads
def embed_references(
    settings: RunSettings, resolution: int, references_fingerprint: str, judge_fingerprint: str
) -> tuple[Annotated[TensorBundle, "references"], Annotated[list[str], "shortfalls"]]:
    """The features, and what will be missing for want of images, a sentence each."""
    judge, inception = judge_of(settings.evaluation), inception_of(settings.evaluation)
    images, missing = None, []
    if settings.references is not None:
        images = read_chosen_images(locate(settings.references), resolution)[2]
        needed = images_needed(judge, inception)
        missing = shortfalls(settings.generation.cycle_images, len(images), needed)
    return embed(judge, settings.concept, images, settings.evaluation, inception), missing
