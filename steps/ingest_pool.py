"""Read a pool: a row for every input, accepted or not, and the pictures that could be read."""

from __future__ import annotations

from typing import Annotated

import pandas as pd
from zenml import step

from coti.pool import ingest
from coti.pool.images import PoolImages
from coti.settings import PoolSettings
from materializers.pool_images import PoolImagesMaterializer
from materializers.table import TableMaterializer
from steps.caching import CACHE_POLICY
from steps.paths import locate

__all__ = ["ingest_pool"]


@step(
    cache_policy=CACHE_POLICY,
    output_materializers={
        "manifest": TableMaterializer,
        "pool_images": PoolImagesMaterializer,
    },
)
def ingest_pool(
    source: str, source_fingerprint: str, resolution: int, settings: PoolSettings
) -> tuple[Annotated[pd.DataFrame, "manifest"], Annotated[PoolImages, "pool_images"]]:
    """Every input ends in the manifest; ``source_fingerprint`` lets the cache see changes."""
    pool = ingest(locate(source), settings, resolution)
    return pool.manifest, pool.pictures
