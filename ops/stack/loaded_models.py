"""Models are loaded once a process, however many steps of a run need them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from coti.core.weights import local_weights
from coti.encoders.image_text import (
    AutoencoderEncoder,
    ImageEncoder,
    ImageTextEncoder,
    load_image_text_encoder,
)
from coti.inversion.base_model import TextToImageModel, load_text_to_image, origin_of
from coti.settings import (
    AestheticSettings,
    ConceptScoreSettings,
    EvaluationSettings,
    ModelSettings,
    ScorerSettings,
    TokenSettings,
)
from ops.stack.locations import locate

__all__ = [
    "concept_encoder",
    "image_text_encoder",
    "inception_of",
    "judge_of",
    "located_aesthetic",
    "located_model",
    "located_token",
    "scorer_of",
    "text_to_image",
]


@lru_cache(maxsize=1)
def text_to_image(settings: ModelSettings) -> TextToImageModel:
    """The base model, frozen, on its device; it keeps the name that the user gave it."""
    model = load_text_to_image(located_model(settings))
    return replace(model, name=settings.base_model, origin=origin_of(settings))


@lru_cache(maxsize=3)
def image_text_encoder(
    model: str, pretrained: str | None, batch_size: int, sha256: str | None = None
) -> ImageTextEncoder:
    """An image-text model, on the GPU where there is one."""
    located = pretrained and locate(pretrained)
    return load_image_text_encoder(
        locate(model), located, device="auto", batch_size=batch_size, sha256=sha256
    )


def scorer_of(settings: ScorerSettings) -> ImageTextEncoder:
    """The scorer, on the GPU where there is one."""
    return image_text_encoder(
        settings.model, settings.pretrained, settings.batch_size, settings.sha256
    )


def judge_of(settings: EvaluationSettings) -> ImageTextEncoder:
    """The judge, on the GPU where there is one."""
    return image_text_encoder(
        settings.judge, settings.judge_pretrained, settings.batch_size, settings.judge_sha256
    )


@lru_cache(maxsize=1)
def _inception(weights: str, sha256: str, batch_size: int) -> ImageEncoder:
    from coti.encoders.inception import InceptionEncoder

    return InceptionEncoder(weights, sha256, device="auto", batch_size=batch_size)


def inception_of(settings: EvaluationSettings) -> ImageEncoder | None:
    """What FID is measured on, where the settings give its weights."""
    if settings.inception is None:
        return None
    return _inception(locate(settings.inception), settings.inception_sha256, settings.batch_size)


def concept_encoder(
    settings: ConceptScoreSettings, scorer: ImageTextEncoder, model: ModelSettings
) -> ImageEncoder | None:
    """ℰ of Eq. 8 where it isn't the scorer: a model of its own, or the autoencoder."""
    if settings.encoder == "scorer":
        return None
    if settings.encoder == "model" and settings.model is not None:
        return image_text_encoder(
            settings.model, settings.pretrained, settings.batch_size, settings.sha256
        )
    network = text_to_image(model)
    return AutoencoderEncoder(network.vae, network.resolution, batch_size=settings.batch_size)


def located_aesthetic(settings: AestheticSettings) -> AestheticSettings:
    """The settings with their files found."""
    return replace(
        settings,
        head=settings.head and str(_head(settings.head, settings.head_sha256)),
        ratings=settings.ratings and locate(settings.ratings),
        user_ratings=settings.user_ratings and locate(settings.user_ratings),
    )


def _head(name: str, sha256: str | None) -> Path:
    return local_weights(locate(name), sha256)


def located_model(settings: ModelSettings) -> ModelSettings:
    """The settings with their folder or file found."""
    config = settings.config and locate(settings.config)
    return replace(settings, base_model=locate(settings.base_model), config=config)


def located_token(settings: TokenSettings) -> TokenSettings:
    """The settings with their initializer file found, where it is one."""
    return replace(settings, initializer=locate(settings.initializer))
