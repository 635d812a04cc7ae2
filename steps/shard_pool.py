"""Cut the accepted images into shards: what one worker, or one pod, embeds at once."""

from __future__ import annotations

from typing import Annotated

import pandas as pd
from zenml import step

from coti.encoders.feature_shards import split_into_shards
from ops.stack.cache_policy import cached_by

__all__ = ["shard_pool"]


@step(cache_policy=cached_by(__name__))
def shard_pool(accepted: pd.DataFrame, size: int) -> Annotated[list[list[str]], "shards"]:
    """Lists of at most ``size`` ids, in the pool's order; ``embed_pool`` is mapped over them."""
    return split_into_shards([str(name) for name in accepted["id"]], size)
