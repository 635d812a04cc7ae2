"""The seed images at the model's resolution, and the first training set: the seeds alone."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.errors import ConfigError
from coti.core.image_set import ImageSet
from coti.pool.chosen_images import read_chosen_images
from coti.settings import ImageSettings
from materializers.image_mosaic import ImageSetMaterializer
from materializers.table_parquet import TableMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.locations import locate
from ops.stack.review_inputs import reviewed_seeds

__all__ = ["load_seeds"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={
        "seed_images": ImageSetMaterializer,
        "training_set": TableMaterializer,
    },
)
def load_seeds(
    source: str,
    source_fingerprint: str,
    resolution: int,
    images: ImageSettings,
    review: dict[str, Any] | None = None,
    review_fingerprint: str = "",
) -> tuple[Annotated[ImageSet, "seed_images"], Annotated[pd.DataFrame, "training_set"]]:
    """Read the folder; a file in it that is no image stops the run with its name.

    What a review drops is left out.
    """
    ids, names, seeds = read_chosen_images(locate(source), resolution, images.rule)
    if len(ids) < 2:
        raise ConfigError(
            f"seeds: {source} holds {len(ids)} image; at least 2 are needed, about ten work well."
        )
    training_set = pd.DataFrame({"id": ids, "origin": "seed", "cycle": 0, "source": names})
    training_set = reviewed_seeds(training_set, review)
    used = [ids.index(name) for name in training_set["id"]]
    return ImageSet([ids[place] for place in used], seeds[used]), training_set
