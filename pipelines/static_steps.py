"""The steps of a cycle as the static twin uses them after the first cycle."""

from __future__ import annotations

from pipelines.passing_through import passing_through
from steps.control_loop import control_loop
from steps.finetune_aesthetic_scorer import finetune_aesthetic_scorer
from steps.fit_concept_scorer import fit_concept_scorer
from steps.judge_cycle import judge_cycle
from steps.score_generations import score_generations
from steps.score_pool import score_pool
from steps.select_batch import select_batch
from steps.track_cycle import track_cycle
from steps.train_cycle import train_cycle

__all__ = [
    "control_loop_or_pass",
    "finetune_aesthetic_scorer_or_pass",
    "fit_concept_scorer_or_pass",
    "judge_cycle_or_pass",
    "score_generations_or_pass",
    "score_pool_or_pass",
    "select_batch_or_pass",
    "track_cycle_or_pass",
    "train_cycle_or_pass",
]

finetune_aesthetic_scorer_or_pass = passing_through(
    finetune_aesthetic_scorer, "finetune_aesthetic_scorer_or_pass", __name__
)
score_pool_or_pass = passing_through(score_pool, "score_pool_or_pass", __name__)
select_batch_or_pass = passing_through(select_batch, "select_batch_or_pass", __name__)
train_cycle_or_pass = passing_through(train_cycle, "train_cycle_or_pass", __name__)
score_generations_or_pass = passing_through(
    score_generations, "score_generations_or_pass", __name__
)
control_loop_or_pass = passing_through(control_loop, "control_loop_or_pass", __name__)
track_cycle_or_pass = passing_through(track_cycle, "track_cycle_or_pass", __name__)
fit_concept_scorer_or_pass = passing_through(
    fit_concept_scorer, "fit_concept_scorer_or_pass", __name__
)
judge_cycle_or_pass = passing_through(judge_cycle, "judge_cycle_or_pass", __name__)
