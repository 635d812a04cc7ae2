"""One published score alone, best B first: the paper's Table 2."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from coti.core.errors import ConfigError
from coti.core.seeding import derived_seed
from coti.scores.baselines import NEED_EFFICIENTNET, baseline_label, baseline_scores
from coti.selection.batch import among_the_best, select_batch
from coti.selection.protocol import PoolView
from coti.settings import RunSettings

__all__ = ["OneScore"]


class OneScore:
    """The best B of a score; COTI's gates and spread are COTI's alone."""

    growths = ("cycles",)
    selects = True
    fixed = True
    sees_ground_truth = False

    def __init__(self, name: str) -> None:
        """``name``: of :mod:`coti.scores.baselines`."""
        self.name = name

    def label(self, settings: RunSettings) -> str:
        """How tables call it, with "(retrained)" where the weights aren't the published ones."""
        return baseline_label(self.name, settings.baselines)

    def least_images(self, settings: RunSettings) -> int:
        """A batch."""
        return settings.selection.batch

    def score(self, pool: PoolView) -> torch.Tensor:
        """The baseline's."""
        if pool.images is None or pool.seed_images is None:
            raise ConfigError(f"strategy {self.name} looks at the images, and none were given.")
        needed = pool.efficientnet is not None and self.name in NEED_EFFICIENTNET
        return baseline_scores(
            self.name,
            pool=pool.images(),
            seeds=pool.seed_images,
            features=pool.features,
            settings=pool.settings.baselines,
            efficientnet=pool.efficientnet() if needed and pool.efficientnet else None,
            seed=derived_seed(pool.settings.seed, "baseline"),
        )

    def gates(self, pool: PoolView) -> Mapping[str, torch.Tensor]:
        """To be of the best B."""
        return among_the_best(pool.columns["score"], pool.candidates, pool.wanted)

    def pick(self, pool: PoolView, seed: int) -> torch.Tensor:
        """The best B of the score."""
        return select_batch(pool.columns["score"], pool.candidates, pool.wanted)
