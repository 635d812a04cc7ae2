"""What images are like before any network has looked at them: light, contrast, colour, detail.

Features of a network that was not made for a kind of image tell nothing apart there, and all that
is computed on them looks well. These four numbers mean the same on any image.
"""

from __future__ import annotations

import torch

__all__ = ["image_statistics"]

_LUMA = (0.299, 0.587, 0.114)


def image_statistics(images: torch.Tensor) -> torch.Tensor:
    """Brightness, contrast, colourfulness and detail of uint8 [n, 3, h, w]: float32 [n, 4].

    In parts of the range from black to white: mean and standard deviation of the luma, the
    colourfulness of Hasler and Süsstrunk 2003 (Eq. 3), and the mean step of the luma from a pixel
    to its neighbours.
    """
    rows = []
    for image in images:
        red, green, blue = image.float() / 255
        luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
        opponent = torch.stack([red - green, (red + green) / 2 - blue]).flatten(1)
        spread = opponent.std(dim=1, correction=0).norm()
        colour = spread + 0.3 * opponent.mean(dim=1).norm()
        steps = luma.diff(dim=0).abs().mean() + luma.diff(dim=1).abs().mean()
        rows.append(torch.stack([luma.mean(), luma.std(correction=0), colour, steps]))
    return torch.stack(rows) if rows else torch.zeros(0, 4)
