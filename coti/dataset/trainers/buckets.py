"""The shapes that a trainer brings images to: of one area, sides in steps, no image cut much."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

__all__ = ["bucket", "buckets", "extremes"]


def bucket(width: int, height: int, resolution: int, step: int = 64) -> tuple[int, int]:
    """Width and height of about ``resolution²`` pixels in the image's shape, multiples of ``step``.

    >>> bucket(3000, 2000, 1024), bucket(500, 500, 1024)
    ((1216, 832), (1024, 1024))
    """
    ratio = math.sqrt(width / height)
    sides = (resolution * ratio, resolution / ratio)
    wide, high = (max(step, int(side / step) * step) for side in sides)
    return wide, high


def buckets(
    sizes: Iterable[tuple[int, int]], resolution: int, step: int = 64
) -> dict[tuple[int, int], int]:
    """How many images each shape has, the most frequent first."""
    found = Counter(bucket(width, height, resolution, step) for width, height in sizes)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def extremes(sizes: Iterable[tuple[int, int]], resolution: int, step: int = 64) -> tuple[int, int]:
    """The shortest and the longest side of the images' shapes, in pixels."""
    sides = [side for shape in buckets(sizes, resolution, step) for side in shape]
    return min(sides), max(sides)
