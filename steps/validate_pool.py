"""Check the manifest with Great Expectations: what is accepted, what is quarantined, and why."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import step
from zenml.types import HTMLString

from coti.core.errors import PoolError
from coti.pool.examine import examine_pool
from coti.pool.pool_images import PoolImages
from coti.settings import ImageSettings, PoolSettings
from materializers.table_parquet import TableMaterializer
from ops.stack.cache_policy import cached_by
from ops.tracking.pool_history import remember_profile

__all__ = ["validate_pool"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={"accepted": TableMaterializer, "quarantined": TableMaterializer},
)
def validate_pool(
    manifest: pd.DataFrame,
    pool_images: PoolImages,
    pool_source: dict[str, Any],
    images: ImageSettings,
    settings: PoolSettings,
    batch: int,
    last_profile: dict[str, float] | None,
) -> tuple[
    Annotated[pd.DataFrame, "accepted"],
    Annotated[pd.DataFrame, "quarantined"],
    Annotated[dict[str, Any], "validation_result"],
    Annotated[HTMLString, "pool_report"],
    Annotated[str, "cut"],
]:
    """Accepted and quarantined rows add up to the manifest, or the run stops.

    It stops here, too, where the pool has fewer images than one cycle is to add, or where it
    has drifted from ``last_profile``, of the version before it, and ``pool_rules.drift`` is
    ``stop``. ``cut`` is a sentence on what cropping costs, or empty.

    The report shows images where they lie on this machine: from a store elsewhere it
    would fetch much of the pool for some hundred of them.
    """
    found = examine_pool(
        manifest,
        pool_images if pool_images.local else None,
        settings,
        source=pool_source["source"],
        kind=pool_source["kind"],
        notes=pool_source["notes"],
        fit=images.rule,
        previous=last_profile,
        least=batch,
    )
    if found.problem:
        raise PoolError(found.problem)
    validation = found.validation
    remember_profile(pool_source, validation.result["profile"])
    page = HTMLString(found.page)
    return validation.accepted, validation.quarantined, validation.result, page, found.cut
