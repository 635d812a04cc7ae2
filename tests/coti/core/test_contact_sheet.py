from __future__ import annotations

import numpy as np
import torch

from coti.core.contact_sheet import contact_sheet


def random_images(n: int, height: int = 8, width: int = 8, seed: int = 0) -> torch.Tensor:
    """Noise, uint8 [n, 3, height, width]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, height, width), generator=generator, dtype=torch.uint8)


def test_sheet_sizes() -> None:
    """A sheet is as wide as its columns, as high as its rows, and captions add height."""
    bare = contact_sheet(random_images(10), columns=4, cell=96)
    assert bare.mode == "RGB"
    assert bare.size == (8 + 4 * 104, 8 + 3 * 104)
    captioned = contact_sheet(random_images(10), columns=4, cell=96, captions=["a\nb"] * 10)
    assert captioned.width == bare.width
    assert captioned.height > bare.height
    assert contact_sheet(random_images(2), columns=8).width == 8 + 2 * 104


def test_sheet_enlarges_by_a_whole_factor() -> None:
    """A small image is shown pixel by pixel, a large one is scaled into its cell."""
    image = random_images(1, 32, 32)
    sheet = np.asarray(contact_sheet(image, cell=96))
    assert np.array_equal(sheet[8:104:3, 8:104:3], image[0].permute(1, 2, 0).numpy())
    assert contact_sheet(random_images(1, 300, 200), cell=96).size == (112, 112)


def test_sheet_survives_hostile_captions() -> None:
    """Captions with control characters, markup, no glyph or great length are drawn, cut."""
    captions = ["\x00\x1b[31m", "<script>", "靴" * 5, "long " * 10_000]
    plain = contact_sheet(random_images(4), captions=["x"] * 4)
    assert contact_sheet(random_images(4), captions=captions).size == plain.size


def test_sheet_of_nothing_says_so() -> None:
    """No image at all is a sheet, not an error: a cycle may refuse nothing."""
    sheet = contact_sheet(random_images(0), title="refused in cycle 3")
    assert np.asarray(sheet).min() < 255
