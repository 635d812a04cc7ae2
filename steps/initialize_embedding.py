"""The embedding before any training, and what the model generates with it."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from coti.core.image_set import ImageSet
from coti.core.seeding import derived_seed
from coti.core.threads import on_its_threads
from coti.generation.fixed_noise import generate_fixed
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.safety import vocabulary_of
from coti.settings import RunSettings
from materializers.embedding_safetensors import EmbeddingMaterializer
from materializers.image_mosaic import ImageSetMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.loaded_models import located_token, text_to_image
from ops.stack.loop_inputs import on_device

__all__ = ["initialize_embedding"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={
        "initial_embedding": EmbeddingMaterializer,
        "initial_samples": ImageSetMaterializer,
    },
)
@on_its_threads
def initialize_embedding(
    settings: RunSettings, device: str, model_fingerprint: str, initializer_fingerprint: str
) -> tuple[
    Annotated[Embedding, "initial_embedding"],
    Annotated[ImageSet, "initial_samples"],
    Annotated[int, "resolution"],
    Annotated[str, "vocabulary"],
]:
    """The vectors at the initializer, what they generate, what the gate must know of the model.

    An unusable model or token stops the run here.
    """
    network = text_to_image(on_device(settings, device).model)
    how, seed = settings.generation, settings.seed
    embedding = Embedding.initial(
        network, located_token(settings.token), derived_seed(seed, "initializer"), settings.concept
    )
    samples = generate_fixed(network, embedding, how, how.sample_images, seed, "sample")
    return embedding, samples, network.resolution, vocabulary_of(network).to_json()
