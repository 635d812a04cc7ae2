"""Models are loaded once a process, however many steps of a run need them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from coti.encoders.captioners import Captioner
from coti.encoders.efficientnet import EfficientNetLite0, load_efficientnet
from coti.encoders.protocol import EncoderOptions, ImageEncoder, ImageTextEncoder
from coti.encoders.registry import load_encoder
from coti.inversion.base_model import TextToImageModel, load_text_to_image, origin_of
from coti.loop.data import Models
from coti.loop.inputs import Encoders
from coti.loop.load_models import (
    load_encoders,
    load_inception,
    load_judge,
    load_models,
    load_scorer,
    load_ssl_judge,
    located_captioner,
    located_options,
    located_settings,
)
from coti.loop.missing_captions import load_captioner
from coti.settings import (
    EvaluationSettings,
    ModelSettings,
    RunSettings,
    ScorerSettings,
    TokenSettings,
)
from ops.stack.locations import locate

__all__ = [
    "captioner_of",
    "efficientnet_of",
    "encoders_of",
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


def scorer_of(settings: ScorerSettings) -> ImageTextEncoder:
    """The scorer, on the GPU where there is one."""
    return load_scorer(settings, _encoder)


def judge_of(settings: EvaluationSettings) -> ImageTextEncoder:
    """The judge, on the GPU where there is one."""
    return load_judge(settings, _encoder)


def inception_of(settings: EvaluationSettings) -> ImageEncoder | None:
    """What FID is measured on, where the settings give its weights."""
    return load_inception(settings, _encoder)


def ssl_judge_of(settings: EvaluationSettings) -> ImageEncoder | None:
    """The judge that was trained on no names, where the settings name one."""
    return load_ssl_judge(settings, _encoder)


def encoders_of(settings: RunSettings) -> Encoders:
    """What S_aes and S_con are computed on: the scorer, and ℰ of Eq. 8 where it is another."""
    return load_encoders(settings, _encoder)


def captioner_of(settings: RunSettings) -> Captioner | None:
    """What describes images that have no caption, where the settings ask for it."""
    found = replace(settings, captioner=located_captioner(settings.captioner, locate))
    return load_captioner(found, scorer_of(settings.scorer))


@lru_cache(maxsize=1)
def _efficientnet(path: str | None, side: int) -> EfficientNetLite0:
    return load_efficientnet(path, side)


def efficientnet_of(settings: RunSettings) -> EfficientNetLite0:
    """The reference judge, which some baselines stand on, too."""
    base = settings.baselines
    return _efficientnet(base.efficientnet and locate(base.efficientnet), base.side)


def models_of(settings: RunSettings) -> Models:
    """Everything frozen that a whole run works with."""
    return load_models(settings, text_to_image(settings.model), _encoder, efficientnet_of)


def located(settings: RunSettings) -> RunSettings:
    """The settings with all their files found."""
    return located_settings(settings, locate)


@lru_cache(maxsize=6)
def _encoder(
    kind: str, options: EncoderOptions, base: ModelSettings | None = None, /
) -> ImageEncoder:
    """An encoder of the registry, on the GPU where there is one."""
    found = located_options(options, locate)
    if base is not None:
        found = replace(found, base_model=lambda: text_to_image(base))
    return load_encoder(kind, found)


def located_model(settings: ModelSettings) -> ModelSettings:
    """The settings with their folder or file found."""
    config = settings.config and locate(settings.config)
    return replace(settings, base_model=locate(settings.base_model), config=config)


def located_token(settings: TokenSettings) -> TokenSettings:
    """The settings with their initializer file found, where it is one."""
    return replace(settings, initializer=locate(settings.initializer))
