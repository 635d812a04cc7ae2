"""The models that the settings name: which encoder each of their keys means, and all of a run's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from coti.core.weights import local_weights
from coti.encoders.protocol import EncoderOptions, ImageTextEncoder
from coti.encoders.registry import load_encoder
from coti.inversion.base_model import TextToImageModel
from coti.loop.data import Models
from coti.loop.inputs import Encoders
from coti.settings import (
    AestheticSettings,
    ConceptScoreSettings,
    EvaluationSettings,
    RunSettings,
    ScorerSettings,
)

__all__ = [
    "Locate",
    "concept_options",
    "inception_options",
    "judge_options",
    "load_encoders",
    "load_models",
    "located_aesthetic",
    "located_options",
    "located_settings",
    "scorer_options",
    "ssl_judge_options",
]

Locate = Callable[[str], str]
"""Where a file or folder lies that a setting names; names of models pass through."""


def scorer_options(own: ScorerSettings) -> EncoderOptions:
    """The scorer, of open_clip; as all encoders on the GPU where there is one."""
    return _options(own.model, own.pretrained, own.sha256, own.batch_size)


def concept_options(own: ConceptScoreSettings) -> EncoderOptions:
    """ℰ of Eq. 8 where ``own.encoder`` is not the scorer."""
    return _options(own.model, own.pretrained, own.sha256, own.batch_size)


def judge_options(own: EvaluationSettings) -> EncoderOptions:
    """The judge, of open_clip."""
    return _options(own.judge, own.judge_pretrained, own.judge_sha256, own.batch_size)


def inception_options(own: EvaluationSettings) -> EncoderOptions | None:
    """What FID is measured on, where the settings give its weights."""
    if own.inception is None:
        return None
    return _options(own.inception, None, own.inception_sha256, own.batch_size)


def ssl_judge_options(own: EvaluationSettings) -> EncoderOptions | None:
    """The judge that was trained on no names, of timm, where the settings name one."""
    if own.ssl_judge is None:
        return None
    return _options(own.ssl_judge, own.ssl_judge_pretrained, own.ssl_judge_sha256, own.batch_size)


def _options(
    model: str | None, pretrained: str | None, sha256: str | None, batch_size: int
) -> EncoderOptions:
    return EncoderOptions(model, pretrained, sha256, "auto", batch_size)


def located_options(options: EncoderOptions, locate: Locate) -> EncoderOptions:
    """The options with their files found."""
    return replace(
        options,
        model=options.model and locate(options.model),
        pretrained=options.pretrained and locate(options.pretrained),
    )


def located_settings(settings: RunSettings, locate: Locate) -> RunSettings:
    """The settings with the files found that the loop itself opens."""
    base = settings.baselines
    names = ("efficientnet", "lpips", "relic", "tanet", "sd_chad")
    found: dict[str, Any] = {
        name: getattr(base, name) and locate(getattr(base, name)) for name in names
    }
    token = settings.token
    return replace(
        settings,
        aesthetic=located_aesthetic(settings.aesthetic, locate),
        token=replace(token, initializer=locate(token.initializer)),
        baselines=replace(base, **found),
    )


def located_aesthetic(own: AestheticSettings, locate: Locate) -> AestheticSettings:
    """The settings with their files found; the head's is fetched and checked."""
    return replace(
        own,
        head=own.head and str(local_weights(locate(own.head), own.head_sha256)),
        ratings=own.ratings and locate(own.ratings),
        user_ratings=own.user_ratings and locate(own.user_ratings),
        negatives=tuple(locate(folder) for folder in own.negatives),
    )


def load_encoders(
    settings: RunSettings, locate: Locate, base: TextToImageModel | None = None
) -> Encoders:
    """What S_aes and S_con are computed on.

    Raises:
        ConfigError: there is no encoder of that name.
        ModelError: one cannot be loaded, or is a part of the base model and there is none.
    """
    scorer = load_encoder("open_clip", located_options(scorer_options(settings.scorer), locate))
    own, found = settings.concept_score, None
    if own.encoder != "scorer":
        options = located_options(concept_options(own), locate)
        if base is not None:
            options = replace(options, base_model=lambda: base)
        found = load_encoder(own.encoder, options)
    return Encoders(cast(ImageTextEncoder, scorer), found)


def load_models(
    settings: RunSettings,
    base: TextToImageModel,
    locate: Locate,
    *,
    judged: bool = True,  # whether anything is to be judged
) -> Models:
    """All that a run works with beside its base model; the reference judge is left out.

    Raises:
        CotiError: as :func:`load_encoders`.
    """
    encoders = load_encoders(settings, locate, base)
    if not judged:
        return Models(base, encoders)
    own = settings.evaluation
    found = {
        kind: None if options is None else load_encoder(kind, located_options(options, locate))
        for kind, options in (
            ("open_clip", judge_options(own)),
            ("inception", inception_options(own)),
            ("timm", ssl_judge_options(own)),
        )
    }
    judge = cast(ImageTextEncoder, found["open_clip"])
    return Models(base, encoders, judge, found["inception"], found["timm"])
