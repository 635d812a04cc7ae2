"""Models are loaded once a process, however many steps of a run need them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from coti.core.weights import local_weights
from coti.encoders.efficientnet import EfficientNetLite0, load_efficientnet
from coti.encoders.protocol import EncoderOptions, ImageEncoder, ImageTextEncoder
from coti.encoders.registry import load_encoder
from coti.inversion.base_model import TextToImageModel, load_text_to_image, origin_of
from coti.loop.data import Models
from coti.loop.inputs import Encoders
from coti.settings import (
    AestheticSettings,
    EvaluationSettings,
    ModelSettings,
    RunSettings,
    ScorerSettings,
    TokenSettings,
)
from ops.stack.locations import locate

__all__ = [
    "efficientnet_of",
    "encoders_of",
    "image_text_encoder",
    "inception_of",
    "judge_of",
    "located",
    "located_model",
    "located_token",
    "models_of",
    "scorer_of",
    "ssl_judge_of",
    "text_to_image",
]


@lru_cache(maxsize=1)
def text_to_image(settings: ModelSettings) -> TextToImageModel:
    """The base model, frozen, on its device; it keeps the name that the user gave it."""
    model = load_text_to_image(located_model(settings))
    return replace(model, name=settings.base_model, origin=origin_of(settings))


def image_text_encoder(
    model: str, pretrained: str | None, batch_size: int, sha256: str | None = None
) -> ImageTextEncoder:
    """An image-text model of open_clip, on the GPU where there is one."""
    encoder = _encoder("open_clip", model, pretrained, sha256, batch_size)
    return cast(ImageTextEncoder, encoder)


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


def inception_of(settings: EvaluationSettings) -> ImageEncoder | None:
    """What FID is measured on, where the settings give its weights."""
    if settings.inception is None:
        return None
    return _encoder(
        "inception", settings.inception, None, settings.inception_sha256, settings.batch_size
    )


def ssl_judge_of(settings: EvaluationSettings) -> ImageEncoder | None:
    """The judge that was trained on no names, where the settings name one."""
    if settings.ssl_judge is None:
        return None
    return _encoder(
        "timm",
        settings.ssl_judge,
        settings.ssl_judge_pretrained,
        settings.ssl_judge_sha256,
        settings.batch_size,
    )


def encoders_of(settings: RunSettings) -> Encoders:
    """What S_aes and S_con are computed on: the scorer, and ℰ of Eq. 8 where it is another."""
    own, scorer = settings.concept_score, scorer_of(settings.scorer)
    if own.encoder == "scorer":
        return Encoders(scorer)
    other = _encoder(
        own.encoder, own.model, own.pretrained, own.sha256, own.batch_size, settings.model
    )
    return Encoders(scorer, other)


@lru_cache(maxsize=1)
def _efficientnet(path: str | None, side: int) -> EfficientNetLite0:
    return load_efficientnet(path, side)


def efficientnet_of(settings: RunSettings) -> EfficientNetLite0:
    """The reference judge, which some baselines stand on, too."""
    base = settings.baselines
    return _efficientnet(base.efficientnet and locate(base.efficientnet), base.side)


def models_of(settings: RunSettings) -> Models:
    """Everything frozen that a whole run works with."""
    return Models(
        text_to_image(settings.model),
        encoders_of(settings),
        judge_of(settings.evaluation),
        inception_of(settings.evaluation),
        ssl_judge_of(settings.evaluation),
        lambda: efficientnet_of(settings),
    )


def located(settings: RunSettings) -> RunSettings:
    """The settings with all their files found."""
    base = settings.baselines
    names = ("efficientnet", "lpips", "relic", "tanet", "sd_chad")
    found: dict[str, Any] = {
        name: getattr(base, name) and locate(getattr(base, name)) for name in names
    }
    return replace(
        settings,
        aesthetic=located_aesthetic(settings.aesthetic),
        token=located_token(settings.token),
        baselines=replace(base, **found),
    )


@lru_cache(maxsize=6)
def _encoder(
    kind: str,
    model: str | None,
    pretrained: str | None,
    sha256: str | None,
    batch_size: int,
    base: ModelSettings | None = None,
) -> ImageEncoder:
    """An encoder of the registry, on the GPU where there is one."""
    options = EncoderOptions(
        model=model and locate(model),
        pretrained=pretrained and locate(pretrained),
        sha256=sha256,
        device="auto",
        batch_size=batch_size,
        base_model=None if base is None else lambda: text_to_image(base),
    )
    return load_encoder(kind, options)


def located_aesthetic(settings: AestheticSettings) -> AestheticSettings:
    """The settings with their files found."""
    return replace(
        settings,
        head=settings.head and str(_head(settings.head, settings.head_sha256)),
        ratings=settings.ratings and locate(settings.ratings),
        user_ratings=settings.user_ratings and locate(settings.user_ratings),
        negatives=tuple(locate(folder) for folder in settings.negatives),
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
