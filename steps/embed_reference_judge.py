"""The reference judge's features of the held-out references, once a concept."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.pool.references import read_references
from coti.settings import RunSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loaded_models import efficientnet_of
from ops.stack.locations import locate

__all__ = ["embed_reference_judge"]


@step(
    cache_policy=cached_by(__name__), output_materializers={"references": TensorBundleMaterializer}
)
@on_its_threads
def embed_reference_judge(
    settings: RunSettings,
    resolution: int,
    references_fingerprint: str,
    baselines_fingerprint: str,
) -> Annotated[TensorBundle, "references"]:
    """Empty where no run wants it, or there are no references."""
    if settings.references is None or not settings.measurement.reference_judge:
        return TensorBundle({})
    half = settings.evaluation.references_half
    fit = settings.images.rule
    images = read_references(locate(settings.references), resolution, fit, half)
    return TensorBundle({"references": efficientnet_of(settings).encode_images(images)})
