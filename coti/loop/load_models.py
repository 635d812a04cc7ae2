"""The models that the settings name: which encoder each of their keys means, and all of a run's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any, Protocol, cast

from coti.core.errors import ModelError
from coti.core.weights import local_weights
from coti.encoders.efficientnet import EfficientNetLite0, load_efficientnet
from coti.encoders.protocol import EncoderOptions, ImageEncoder, ImageTextEncoder
from coti.encoders.registry import load_encoder
from coti.inversion.base_model import TextToImageModel
from coti.loop.data import Models
from coti.loop.inputs import Encoders
from coti.settings import (
    AestheticSettings,
    CaptionerSettings,
    EvaluationSettings,
    ModelSettings,
    RunSettings,
    ScorerSettings,
)

__all__ = [
    "Load",
    "Locate",
    "load_encoders",
    "load_inception",
    "load_judge",
    "load_models",
    "load_reference_judge",
    "load_scorer",
    "load_ssl_judge",
    "loader",
    "located_aesthetic",
    "located_captioner",
    "located_options",
    "located_settings",
]

Locate = Callable[[str], str]
"""Where a file or folder lies that a setting names; names of models pass through."""


class Load(Protocol):
    """Loads an encoder of the registry, or has kept it since it did."""

    def __call__(
        self,
        kind: str,
        options: EncoderOptions,  # as in the settings, paths not yet found
        base: ModelSettings | None = None,  # of the base model, for an encoder that may be in it
        /,
    ) -> ImageEncoder:
        """Raises :class:`~coti.core.errors.ModelError` where it cannot be loaded."""


def loader(locate: Locate, base: TextToImageModel | None = None) -> Load:
    """Loads an encoder each time that it is asked to, from files that ``locate`` finds."""

    def load(
        kind: str, options: EncoderOptions, of_base: ModelSettings | None = None, /
    ) -> ImageEncoder:
        found = located_options(options, locate)
        if of_base is not None and base is not None:
            found = replace(found, base_model=lambda: base)
        return load_encoder(kind, found)

    return load


def load_scorer(own: ScorerSettings, load: Load) -> ImageTextEncoder:
    """The scorer, of open_clip; as all encoders on the GPU where there is one."""
    return cast(ImageTextEncoder, load("open_clip", _scorer_options(own)))


def load_judge(own: EvaluationSettings, load: Load) -> ImageTextEncoder:
    """The judge, of open_clip."""
    options = _options(own.judge, own.judge_pretrained, own.judge_sha256, own.batch_size)
    return cast(ImageTextEncoder, load("open_clip", options))


def load_inception(own: EvaluationSettings, load: Load) -> ImageEncoder | None:
    """What FID is measured on, where the settings give its weights."""
    if own.inception is None:
        return None
    options = _options(own.inception, None, own.inception_sha256, own.batch_size)
    return load("inception", options)


def load_ssl_judge(own: EvaluationSettings, load: Load) -> ImageEncoder | None:
    """The judge that was trained on no names, of timm, where the settings name one."""
    if own.ssl_judge is None:
        return None
    pinned = own.ssl_judge_pretrained, own.ssl_judge_sha256
    return load("timm", _options(own.ssl_judge, *pinned, own.batch_size))


def load_reference_judge(settings: RunSettings) -> EfficientNetLite0:
    """The reference judge, which some baselines stand on, too; its file is found already."""
    return load_efficientnet(settings.baselines.efficientnet, settings.baselines.side)


def _scorer_options(own: ScorerSettings) -> EncoderOptions:
    return _options(own.model, own.pretrained, own.sha256, own.batch_size)


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
        name: getattr(base, name) and _if_here(getattr(base, name), locate) for name in names
    }
    token, rules = settings.token, settings.selection
    return replace(
        settings,
        aesthetic=located_aesthetic(settings.aesthetic, locate),
        captioner=located_captioner(settings.captioner, locate),
        token=replace(token, initializer=locate(token.initializer)),
        baselines=replace(base, **found),
        selection=replace(rules, review=rules.review and locate(rules.review)),
    )


def _if_here(name: str, locate: Locate) -> str:
    """Where a file lies that one strategy alone opens: that says it where the file is not here."""
    try:
        return locate(name)
    except ModelError:
        return name


def located_aesthetic(own: AestheticSettings, locate: Locate) -> AestheticSettings:
    """The settings with their files found; the head's is fetched and checked."""
    return replace(
        own,
        head=own.head and str(local_weights(locate(own.head), own.head_sha256)),
        ratings=own.ratings and locate(own.ratings),
        user_ratings=own.user_ratings and locate(own.user_ratings),
        negatives=tuple(locate(folder) for folder in own.negatives),
    )


def located_captioner(own: CaptionerSettings, locate: Locate) -> CaptionerSettings:
    """The settings with their folder found."""
    return replace(own, model=own.model and locate(own.model))


def load_encoders(settings: RunSettings, load: Load) -> Encoders:
    """What S_aes and S_con are computed on: the scorer, and ℰ of Eq. 8 where it is another.

    Raises:
        ConfigError: there is no encoder of that name.
        ModelError: one cannot be loaded, or is a part of the base model and there is none.
    """
    own, scorer = settings.concept_score, load_scorer(settings.scorer, load)
    if own.encoder == "scorer":
        return Encoders(scorer)
    options = _options(own.model, own.pretrained, own.sha256, own.batch_size)
    if (own.encoder, options) != ("open_clip", _scorer_options(settings.scorer)):
        # ℰ sees images alone; the half of a large model that reads is a GiB or more.
        options = replace(options, images_only=True)
    return Encoders(scorer, load(own.encoder, options, settings.model))


def load_models(
    settings: RunSettings,
    base: TextToImageModel,
    load: Load,
    reference_judge: Callable[[RunSettings], EfficientNetLite0] = load_reference_judge,
    *,
    judged: bool = True,  # whether anything is to be judged
) -> Models:
    """All that a run works with beside its base model; the reference judge once it is needed.

    Raises:
        CotiError: as :func:`load_encoders`.
    """
    needed = cache(partial(reference_judge, settings))
    models = Models(base, load_encoders(settings, load), reference_judge=needed)
    if not judged:
        return models
    own = settings.evaluation
    return replace(
        models,
        judge=load_judge(own, load),
        inception=load_inception(own, load),
        ssl_judge=load_ssl_judge(own, load),
    )
