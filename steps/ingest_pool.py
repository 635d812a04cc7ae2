"""Read a pool: a row for every input, accepted or not, and the images that could be read."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.file_rules import user_path
from coti.pool.ingest import ingest
from coti.pool.manifest import manifest_hash
from coti.pool.pool_images import PoolImages
from coti.settings import ImageSettings, PoolSettings
from materializers.image_parquet import PoolImagesMaterializer
from materializers.table_parquet import TableMaterializer
from ops.stack.artifact_store import share_with_pool
from ops.stack.cache_policy import cached_by
from ops.stack.locations import ROOT, locate

__all__ = ["ingest_pool"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={
        "manifest": TableMaterializer,
        "pool_images": PoolImagesMaterializer,
    },
)
def ingest_pool(
    source: str,
    source_fingerprint: str,
    resolution: int,
    images: ImageSettings,
    settings: PoolSettings,
) -> tuple[
    Annotated[pd.DataFrame, "manifest"],
    Annotated[PoolImages, "pool_images"],
    Annotated[dict[str, Any], "pool_source"],
]:
    """Every input ends in the manifest; ``source_fingerprint`` is of what is read, or it fails."""
    share_with_pool(source, settings.s3_endpoint)
    fetched = ROOT / user_path(settings.fetch.cache)
    pool = ingest(
        locate(source),
        settings,
        resolution,
        fit=images.rule,
        fetch_dir=fetched,
        fingerprint=source_fingerprint,
    )
    taken_for = {
        "source": source,
        "kind": pool.kind,
        "notes": pool.notes,
        "version": manifest_hash(pool.manifest),
        "fingerprint": source_fingerprint,
    }
    return pool.manifest, pool.pool_images, taken_for
