"""The reference judge's features of the held-out references, once a concept."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from coti.core.images import read_image_folder
from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import load_efficientnet
from coti.settings import BaselineSettings
from materializers.tensor_bundle import TensorBundleMaterializer
from ops.stack.cache_policy import CACHE_POLICY
from ops.stack.locations import locate

__all__ = ["embed_reference_judge"]


@step(cache_policy=CACHE_POLICY, output_materializers={"references": TensorBundleMaterializer})
def embed_reference_judge(
    source: str | None,
    source_fingerprint: str,
    settings: BaselineSettings,
    resolution: int,
    wanted: bool,
) -> Annotated[TensorBundle, "references"]:
    """Empty where no cell wants it, or there are no references."""
    if source is None or not wanted:
        return TensorBundle({})
    path = settings.efficientnet and locate(settings.efficientnet)
    encoder = load_efficientnet(path, settings.side)
    images = read_image_folder(locate(source), resolution)[1]
    return TensorBundle({"references": encoder.encode_images(images)})
