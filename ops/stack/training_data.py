"""The images and captions of a training set."""

from __future__ import annotations

import pandas as pd
import torch

from coti.core.image_set import ImageSet
from coti.pool.pool_images import PoolImages

__all__ = ["training_images"]


def training_images(
    training_set: pd.DataFrame,
    accepted: pd.DataFrame,
    pool_images: PoolImages,
    seed_images: ImageSet,
) -> tuple[torch.Tensor, list[str]]:
    """Images uint8 ``[n, 3, r, r]`` and captions of X_T, in its order; seeds have no caption."""
    seeds = training_set["origin"] == "seed"
    place = {name: i for i, name in enumerate(seed_images.names)}
    rows = [place[name] for name in training_set.loc[seeds, "id"]]
    pool_ids = [str(name) for name in training_set.loc[~seeds, "id"]]
    parts = [seed_images.images[rows]]
    if pool_ids:
        parts.append(pool_images.tensor(pool_ids))
    text = dict(zip(accepted["id"], accepted["caption"].fillna(""), strict=True))
    return torch.cat(parts), [""] * len(rows) + [str(text[name]) for name in pool_ids]
