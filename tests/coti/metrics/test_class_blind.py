"""The class-blind judge's numbers of generations and of X_T are the metrics' own."""

from __future__ import annotations

import torch

from coti.metrics.class_blind import judge_generations, judge_training_set
from coti.metrics.frechet import frechet_distance
from coti.metrics.kid import kid
from coti.metrics.manifold import density_coverage, precision_recall
from coti.metrics.table import METRICS


def test_each_number_is_its_functions() -> None:
    """By the table's names, none of which may steer."""
    random = torch.Generator().manual_seed(0)
    generated, references = torch.randn(2, 20, 4, generator=random)
    found = judge_generations(generated, references, subsets=3, subset_size=10, seed=1)
    assert found == {
        "fd_ssl": frechet_distance(generated, references),
        "kid_ssl": kid(generated, references, 3, 10, 1).mean,
        **dict(zip(("precision", "recall"), precision_recall(generated, references), strict=True)),
        **dict(zip(("density", "coverage"), density_coverage(generated, references), strict=True)),
    }
    worth = judge_training_set(generated[:2], references)
    assert worth == {
        "xt_fd_ssl": frechet_distance(generated[:2], references),
        "xt_coverage": density_coverage(generated[:2], references)[1],
    }
    assert not [name for name in (*found, *worth) if METRICS[name].steers]
