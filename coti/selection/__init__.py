"""Which images of the pool a cycle adds to X_T: a file a strategy, found by name."""

from __future__ import annotations

from collections.abc import Callable

from coti.core.registry import Registry
from coti.selection.protocol import PoolView, Strategy

__all__ = ["STRATEGIES", "PoolView", "Strategy"]

STRATEGIES = Registry[Callable[[str], Strategy]](
    "strategy",
    {
        "coti": "coti.selection.intelligent:Intelligent",
        "random": "coti.selection.random_images:RandomImages",
        "full": "coti.selection.whole_pool:WholePool",
        "seeds": "coti.selection.seeds_alone:SeedsAlone",
        "oracle": "coti.selection.oracle:Oracle",
        "self_trained": "coti.selection.self_trained:SelfTrained",
        "text_top": "coti.selection.text_top:TextTop",
        "filtered": "coti.selection.filtered:Filtered",
        "nearest_to_seeds": "coti.selection.nearest_to_seeds:NearestToSeeds",
        **dict.fromkeys(
            ("is", "lpips", "relic", "tanet", "sd_chad", "vlad"),
            "coti.selection.one_score:OneScore",
        ),
    },
    Strategy,
)
"""By the name that ``strategy`` has in a configuration."""
