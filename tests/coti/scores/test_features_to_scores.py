from __future__ import annotations

from pathlib import Path

import pytest
import torch

from coti.core.tensors import TensorBundle
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import least_cosine
from coti.scores.features_to_scores import rescore


def normal(rows: int, seed: int, width: int = 24) -> torch.Tensor:
    """L2-normalised random features."""
    values = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=-1)


@pytest.mark.parametrize("hidden", [None, 8])
@pytest.mark.parametrize("mapped", [False, True])
def test_one_pass_gives_what_the_functions_give_one_by_one(
    tmp_path: Path, hidden: int | None, mapped: bool
) -> None:
    """Least cosines over growing X_T and S_aes agree with comparing everything anew, in memory
    and from an artifact's file.
    """
    pool, chosen = normal(9000, 0), normal(25, 1)
    head = AestheticHead.fresh(24, seed=3, hidden=hidden)
    features = pool
    if mapped:
        TensorBundle({"pool": pool}).save(tmp_path / "bundle.safetensors")
        features = TensorBundle.load(tmp_path / "bundle.safetensors")["pool"]
    least = torch.full((9000,), torch.inf)
    for first in range(0, 25, 10):
        least, s_aes = rescore(features, chosen[first : first + 10], least, head)
    assert torch.allclose(least, least_cosine(pool, chosen), atol=1e-6)
    assert torch.allclose(s_aes, head.score(pool), atol=1e-5)
