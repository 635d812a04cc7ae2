"""Models are loaded once a process, however many steps of a run need them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from coti.features import (
    AutoencoderEncoder,
    ImageEncoder,
    ImageTextEncoder,
    load_image_text_encoder,
)
from coti.inversion.model import TextToImageModel, load_text_to_image
from coti.settings import AestheticSettings, ConceptScoreSettings, ModelSettings, TokenSettings
from steps.paths import locate

__all__ = [
    "concept_encoder",
    "image_text_encoder",
    "located_aesthetic",
    "located_token",
    "text_to_image",
]


@lru_cache(maxsize=1)
def text_to_image(settings: ModelSettings) -> TextToImageModel:
    """The base model, frozen, on its device; it keeps the name that the user gave it."""
    model = load_text_to_image(replace(settings, base_model=locate(settings.base_model)))
    return replace(model, name=settings.base_model)


@lru_cache(maxsize=2)
def image_text_encoder(model: str, pretrained: str | None, batch_size: int) -> ImageTextEncoder:
    """A scorer or a judge in open_clip's format."""
    return load_image_text_encoder(locate(model), pretrained, batch_size=batch_size)


def concept_encoder(
    settings: ConceptScoreSettings, scorer: ImageTextEncoder, model: ModelSettings
) -> ImageEncoder | None:
    """ℰ of Eq. 8 where it isn't the scorer: the model's autoencoder."""
    if settings.encoder == "scorer":
        return None
    network = text_to_image(model)
    return AutoencoderEncoder(network.vae, network.resolution)


def located_aesthetic(settings: AestheticSettings) -> AestheticSettings:
    """The settings with their files found."""
    return replace(
        settings,
        head=settings.head and locate(settings.head),
        ratings=settings.ratings and locate(settings.ratings),
        user_ratings=settings.user_ratings and locate(settings.user_ratings),
    )


def located_token(settings: TokenSettings) -> TokenSettings:
    """The settings with their initializer file found, where it is one."""
    return replace(settings, initializer=locate(settings.initializer))
