"""The judge's metrics, and the gate that stands on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from coti.settings._base import Strict


@dataclass(frozen=True)
class EvaluationSettings(Strict):
    """The judge's metrics. Recorded and used by the promotion gate only."""

    _section = "evaluation."
    MOST: ClassVar[Mapping[str, int]] = {
        "kid_subsets": 100_000,
        "kid_subset_size": 1_000_000,
        "batch_size": 65_536,
    }

    judge: str = "assets/models/judge"
    """An image-text model in open_clip's format, of another family than the scorer."""
    judge_pretrained: str | None = None
    """As ``scorer.pretrained``."""
    judge_sha256: str | None = None
    """As ``scorer.sha256``."""
    ssl_judge: str | None = "assets/models/ssl_judge"
    """A model that was trained without names, for ``fd_ssl``, precision, recall, density and
    coverage: a folder as timm writes it, or one of timm's names, such as
    ``vit_small_patch14_dinov2.lvd142m``. null: these are left out."""
    ssl_judge_pretrained: str | None = None
    """Where ``ssl_judge`` is a name of timm's: a safetensors file of its weights, a path, ``hf://``
    or ``s3://``."""
    ssl_judge_sha256: str | None = None
    """As ``scorer.sha256``."""
    references_half: Literal["all", "development", "tables"] = "all"
    """Which of the references are compared with: ``all``, or one of two halves, told apart by the
    files' content: choose settings by ``development`` and publish by ``tables``, and no image
    behind a published number has been looked at before."""
    captions: tuple[str, ...] = ()
    """Candidate captions of R-precision; the concept's own is added where it is missing."""
    caption_template: str = "a photo of a {}"
    imagenet_captions: int = 0
    """ImageNet classes, evenly spread over its 1,000, that join the candidates: 99 with the
    concept's own caption make R-precision top1/100."""
    authors_r_precision: bool = False
    """Also report ``r_precision_top200_1001``, the authors' form: the own caption among the 200
    nearest of 1,001, the concept's and ImageNet's 1,000."""
    inception: str | None = None
    """Inception-v3's weights as torch-fidelity publishes them (``pt_inception-2015-12-05``): a
    path, ``hf://`` or ``s3://``. With them ``fid`` is reported beside ``fd_judge``; needs 2,048
    images on both sides."""
    inception_sha256: str = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
    """Pinned hash of these weights."""
    kid_subsets: int = 50
    kid_subset_size: int = 100
    batch_size: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within(0, 1_000, "a count", "imagenet_captions")
        self._at_least(1, "kid_subsets", "batch_size")
        self._at_least(2, "kid_subset_size")


@dataclass(frozen=True)
class PromotionSettings(Strict):
    """The gate between ``challenger`` and ``champion``."""

    _section = "promotion."
    MOST: ClassVar[Mapping[str, int]] = {
        "fd_margin": 1_000_000,
        "r_precision_margin": 1_000,
        "fd_ceiling": 1_000_000_000,
        "r_precision_floor": 1_000,
        "min_samples": 1_000_000_000,
    }

    fd_margin: float = 0.02
    """Share by which the Fréchet distance must fall below the champion's."""
    r_precision_margin: float = 0.0
    """How much R-precision must rise above the champion's."""
    fd_ceiling: float | None = None
    """Absolute floor of quality for a first champion: the largest Fréchet distance."""
    r_precision_floor: float = 0.5
    """Absolute floor of quality for a first champion: the least R-precision."""
    min_samples: int = 64
    """Least generated and reference images behind the metrics."""
    worked_only: bool = True
    """Whether a run must have worked for its embedding to become the champion by itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(0, "min_samples")
