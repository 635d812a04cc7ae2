"""The judge's features of the held-out references and of the candidate captions, once."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from coti.core.images import read_image_folder
from coti.core.tensors import TensorBundle
from coti.metrics.judge import embed_references as embed
from coti.settings import EvaluationSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import CACHE_POLICY
from ops.stack.loaded_models import inception_of, judge_of
from ops.stack.locations import locate

__all__ = ["embed_references"]


@step(cache_policy=CACHE_POLICY, output_materializers={"references": TensorBundleMaterializer})
def embed_references(
    concept: str,
    source: str | None,
    source_fingerprint: str,
    settings: EvaluationSettings,
    judge_fingerprint: str,
    resolution: int,
    generated: int | None = None,
) -> Annotated[TensorBundle, "references"]:
    """Without references the Fréchet distance and KID of this run stay empty."""
    judge = judge_of(settings)
    images = None if source is None else read_image_folder(locate(source), resolution)[1]
    return embed(judge, concept, images, settings, inception_of(settings), generated)
