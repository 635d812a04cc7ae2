from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from coti.core.errors import PoolError
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import least_cosine
from coti.scores.pool_scores import PoolFeatures, rescore, write_features


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
    and from a file.
    """
    pool, chosen = normal(9000, 0), normal(25, 1)
    head = AestheticHead.fresh(24, seed=3, hidden=hidden)
    features: PoolFeatures | torch.Tensor = pool
    if mapped:
        write_features(tmp_path / "f.safetensors", pool.split(1000), 9000, 24)
        features = PoolFeatures(tmp_path / "f.safetensors")
    least = torch.full((9000,), torch.inf)
    for first in range(0, 25, 10):
        least, s_aes = rescore(features, chosen[first : first + 10], least, head)
    assert torch.allclose(least, least_cosine(pool, chosen), atol=1e-6)
    assert torch.allclose(s_aes, head.score(pool), atol=1e-5)


def test_the_file_is_safetensors(tmp_path: Path) -> None:
    """Anybody reads the file; rows come back by place; half precision is close."""
    pool = normal(100, 2)
    path = tmp_path / "f.safetensors"
    write_features(path, [pool], 100, 24)
    assert torch.equal(load_file(path)["features"], pool)
    assert torch.equal(PoolFeatures(path).rows([7, 3]), pool[[7, 3]])
    write_features(path, [pool], 100, 24, half=True)
    (_, block), *_ = PoolFeatures(path).blocks()
    assert torch.allclose(block, pool, atol=1e-3)


def test_broken_files_and_wrong_counts_are_refused(tmp_path: Path) -> None:
    """A cut file and a missing block are one sentence; nothing half written stays."""
    path = tmp_path / "f.safetensors"
    with pytest.raises(PoolError, match="5 rows of features were announced, 4 came"):
        write_features(path, [normal(4, 0)], 5, 24)
    assert not list(tmp_path.iterdir())
    write_features(path, [normal(4, 0)], 4, 24)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(PoolError, match=r"holds no pool features .*cut off"):
        PoolFeatures(path)
