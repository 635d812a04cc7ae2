"""Which settings each station of a cycle reads.

A step is given these alone (:meth:`coti.settings.RunSettings.only`), so that a change of any other
key computes it no second time.
"""

from __future__ import annotations

__all__ = ["USES"]

_SCORES = ("scorer", "concept_score", "model")

USES: dict[str, tuple[str, ...]] = {
    "finetune_aesthetic_scorer": ("aesthetic", "scorer", "seed"),
    "fit_concept_scorer": ("concept_score", "seed"),
    "preflight": (*_SCORES, "strategy", "growth", "selection", "controller", "baseline_images"),
    "score_pool": ("strategy", "growth", "selection", "baselines", "baseline_images", "seed"),
    "select_batch": ("strategy", "growth", "selection", "baseline_images", "seed"),
    "train_cycle": (
        *_SCORES,
        "token",
        "train",
        "schedule",
        "generation",
        "seed",
        "concept",
        "captions",
        "captioner",
    ),
    "score_generations": _SCORES,
    "judge_cycle": ("concept", "evaluation", "ground_truth", "seed"),
}
"""By the station's name. The pool's features are computed by ``_SCORES`` and the pool's rules."""
