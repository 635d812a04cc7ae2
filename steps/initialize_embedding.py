"""The word before any training, and what the model draws with it."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from coti.core.image_set import ImageSet
from coti.core.seeding import derived_seed
from coti.generation.fixed_noise import draw
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.prompt_encoder import initial_embedding
from coti.inversion.safety import vocabulary_of
from coti.settings import GenerationSettings, ModelSettings, TokenSettings
from materializers.embedding_file import EmbeddingMaterializer
from materializers.image_mosaic import ImageSetMaterializer
from ops.stack.cache_policy import CACHE_POLICY
from ops.stack.loaded_models import located_token, text_to_image

__all__ = ["initialize_embedding"]


@step(
    cache_policy=CACHE_POLICY,
    output_materializers={
        "initial_embedding": EmbeddingMaterializer,
        "initial_samples": ImageSetMaterializer,
    },
)
def initialize_embedding(
    concept: str,
    model: ModelSettings,
    model_fingerprint: str,
    token: TokenSettings,
    initializer_fingerprint: str,
    generation: GenerationSettings,
    seed: int,
) -> tuple[
    Annotated[Embedding, "initial_embedding"],
    Annotated[ImageSet, "initial_samples"],
    Annotated[int, "resolution"],
    Annotated[str, "vocabulary"],
]:
    """The vectors at the initializer, what they draw, and what the gate must know of the model.

    An unusable model or token stops the run here.
    """
    network = text_to_image(model)
    embedding = initial_embedding(
        network, located_token(token), derived_seed(seed, "initializer"), concept
    )
    samples = draw(network, embedding, generation, generation.sample_images, seed, "sample")
    return embedding, samples, network.resolution, vocabulary_of(network).to_json()
