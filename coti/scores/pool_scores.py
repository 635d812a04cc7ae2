"""Both scores of Eq. 11 brought up to date after X_T grew, in one pass over the pool's features.

Eq. 8's minimum is compared with the B new images alone, and an affine aesthetic head is one more
column of the same product. The features may be mapped from a file: they are read block by block.
"""

from __future__ import annotations

import torch

from coti.scores.aesthetic import AestheticHead
from coti.scores.formulas import smooth_clamp

__all__ = ["rescore"]

_BLOCK = 8192


@torch.no_grad()
def rescore(
    features: torch.Tensor,  # the pool's, [n, d], L2-normalised
    new_features: torch.Tensor,  # [b, d], L2-normalised, of the images that joined X_T
    least: torch.Tensor,  # [n], least cosines so far, infinite where there are none
    head: AestheticHead,  # an affine one costs one more column of the same product
) -> tuple[torch.Tensor, torch.Tensor]:
    """Least cosines (Eq. 8) and S_aes (Eq. 7) of a pool after X_T grew, in one pass.

    Returns:
        Least cosines [n] to the whole X_T, and S_aes [n] in [0, 10].
    """
    affine = len(head) == 1
    columns, bias = new_features, torch.zeros(1)
    if affine:
        tensors = head.to_tensors()
        columns = torch.cat([new_features, tensors["0.weight"]])
        bias = tensors["0.bias"]
    now, s_aes = torch.empty_like(least), torch.empty_like(least)
    count = len(new_features)
    for first in range(0, len(features), _BLOCK):
        rows = slice(first, first + _BLOCK)
        block = features[rows]
        products = columns @ block.T  # this way round: few long rows, the faster shape
        now[rows] = least[rows]
        if count:
            now[rows] = torch.minimum(least[rows], products[:count].amin(dim=0))
        s_aes[rows] = smooth_clamp(products[count] + bias) if affine else head.score(block)
    return now, s_aes
