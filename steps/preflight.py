"""What pool, seeds, words and base model say of each other before anything is trained."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.loop.preflight import preflight as look
from coti.scores.aesthetic import AestheticHead
from coti.settings import RunSettings
from ops.stack.cache_policy import cached_by
from ops.stack.loaded_models import encoders_of, text_to_image
from ops.stack.loop_inputs import on_device

__all__ = ["preflight"]


@step(cache_policy=cached_by(__name__))
@on_its_threads
def preflight(
    features: TensorBundle,
    aesthetic_head: TensorBundle,
    seed_images: ImageSet,
    settings: RunSettings,
    device: str,
    scorer_fingerprint: str,
    model_fingerprint: str,
) -> Annotated[dict[str, float], "facts"]:
    """Facts of :mod:`coti.loop.verdict`, by name."""
    own = on_device(settings, device)
    return look(
        features,
        AestheticHead.from_tensors(aesthetic_head.tensors),
        seed_images,
        text_to_image(own.model),
        encoders_of(own),
        settings,
    )
