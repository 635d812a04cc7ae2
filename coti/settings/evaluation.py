"""The judge's metrics, and the gate that stands on them."""

from __future__ import annotations

from dataclasses import dataclass

from coti.settings._base import Strict


@dataclass(frozen=True)
class EvaluationSettings(Strict):
    """The judge's metrics. Recorded and used by the promotion gate only."""

    judge: str = "assets/models/judge"
    """An image-text model in open_clip's format, of another family than the scorer."""
    judge_pretrained: str | None = None
    captions: tuple[str, ...] = ()
    """Candidate captions of R-precision; the concept's own is added where it is missing."""
    caption_template: str = "a photo of a {}"
    fd_name: str = "judge"
    """The Fréchet distance is reported as ``fd_<name>``; ``fid`` is reserved for Inception-v3."""
    kid_subsets: int = 50
    kid_subset_size: int = 100
    batch_size: int = 256


@dataclass(frozen=True)
class PromotionSettings(Strict):
    """The gate between ``challenger`` and ``champion``."""

    fd_margin: float = 0.02
    """Share by which the Fréchet distance must fall below the champion's."""
    r_precision_margin: float = 0.0
    """How much R-precision must rise above the champion's."""
    fd_ceiling: float | None = None
    """Absolute floor of quality for a first champion: the largest Fréchet distance."""
    r_precision_floor: float = 0.5
    """Absolute floor of quality for a first champion: the least R-precision."""
    min_samples: int = 64
    """Least generated and reference pictures behind the metrics."""
