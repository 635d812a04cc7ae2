"""The seed images at the model's resolution, and the first training set: the seeds alone."""

from __future__ import annotations

from typing import Annotated

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.pool import read_seeds
from materializers.image_mosaic import ImageSetMaterializer
from materializers.table import TableMaterializer
from ops.stack.cache_policy import CACHE_POLICY
from ops.stack.locations import locate

__all__ = ["load_seeds"]


@step(
    cache_policy=CACHE_POLICY,
    output_materializers={
        "seed_images": ImageSetMaterializer,
        "training_set": TableMaterializer,
    },
)
def load_seeds(
    source: str, source_fingerprint: str, resolution: int
) -> tuple[Annotated[ImageSet, "seed_images"], Annotated[pd.DataFrame, "training_set"]]:
    """Read the folder; a file in it that is no image stops the run with its name."""
    names, images = read_seeds(locate(source), resolution)
    training_set = pd.DataFrame({"id": names, "origin": "seed", "cycle": 0})
    return ImageSet(names, images), training_set
