"""Station 2 of a cycle: score the pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from coti.core.errors import ConfigError
from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.encoders.efficientnet import EfficientNetLite0
from coti.loop.inputs import Images, Reviewed
from coti.loop.plan import strategy_of
from coti.loop.reviewed import marked
from coti.loop.state import LoopState
from coti.scores.features_to_scores import score_candidates
from coti.selection import PoolView
from coti.settings import RunSettings

__all__ = ["score_pool"]


def score_pool(
    state: LoopState,
    features: TensorBundle,  # of coti.scores.features_to_scores.embed_images
    settings: RunSettings,  # of coti.loop.plan.effective
    *,
    sources: Mapping[str, str] | None = None,  # id to file name
    reviewed: Reviewed | None = None,
    # For strategies that look at images:
    images: Images | None = None,  # the pool's
    seeds: ImageSet | None = None,
    efficientnet: Callable[[], EfficientNetLite0] | None = None,  # loads the reference judge
) -> PoolView:
    """S_aes, S_con, S_int (Eq. 7, 8, 11) and the strategy's own score of every pool image.

    With the columns of the cycle before, of Eq. 8 only what joined X_T since is new, and a score
    that stays is not computed again.

    Raises:
        ConfigError: a candidate's score that is not a number; what a strategy needs and has not.
    """
    selection, previous = settings.selection, state.columns
    least = None if previous is None else previous.get("least_cosine")
    since = state.training_set.since()
    columns = score_candidates(
        features,
        *state.scorers,
        *(state.gammas if selection.combine == "intelligent" else (0.0, 0.0)),
        selection.weight_floor,
        least=least,
        joined=[name for name, when in since.items() if when >= state.cycle - 1],
    )
    ids = features.strings("pool_ids")
    members = set(state.training_set.ids)
    view = PoolView(
        settings=settings,
        features=features,
        candidates=torch.tensor([name not in members for name in ids], dtype=torch.bool),
        columns=columns,
        cycle=state.cycle,
        sources=[(sources or {}).get(name, name) for name in ids],
        images=None if images is None else (lambda: images.tensor(ids)),
        seed_images=None if seeds is None else seeds.images,
        efficientnet=efficientnet,
        generated=state.generated,
    )
    view = marked(view, reviewed)
    strategy = strategy_of(settings)
    known = previous.get("score") if previous is not None and strategy.fixed else None
    score = strategy.score(view) if known is None else known
    unknown = int((view.candidates & score.isnan()).sum())
    if unknown:
        raise ConfigError(
            f"{unknown} candidates have no number for a score of strategy {settings.strategy}: "
            "their features are broken; embed the pool again with a sound scorer."
        )
    return replace(view, columns={**columns, "score": score})
