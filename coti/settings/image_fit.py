"""What part of an image is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coti.core.fitting import Fit
from coti.settings._base import Strict, require

__all__ = ["POINTS", "ImageSettings"]

POINTS = {
    "center": (0.5, 0.5),
    "top": (0.5, 0.0),
    "bottom": (0.5, 1.0),
    "left": (0.0, 0.5),
    "right": (1.0, 0.5),
}
"""Of an image, across and down, by the name that ``images.focus`` has for it."""


@dataclass(frozen=True)
class ImageSettings(Strict):
    """How images that are no squares become the model's square: pool, seeds, references, negatives.

    All of them by one rule, since scorers and judges compare them. What ``coti edit`` edits keeps
    its shape.
    """

    _section = "images."

    fit: Literal["crop", "pad", "contain"] = "crop"
    """``crop``: as large as the square is covered, and what is over is cut off; of a photograph of
    3 : 2 that is a third. ``pad``: the whole image on the ``background``. ``contain``: the whole
    image, its outermost pixels drawn out to the square's border, as "resize and fill" does. What
    stands beside an image is learned with it: ``contain`` for plain grounds, which go on unseen."""
    focus: str | tuple[float, ...] = "center"
    """What ``crop`` keeps: ``center``, ``top``, ``bottom``, ``left``, ``right``, or a point across
    and down, ``[0.5, 0.3]``, shares of width and height, that stays as near to the middle as it
    can."""
    background: Literal["white", "gray", "black"] = "white"
    """Beside the image, with ``pad``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.focus
        require(
            given in POINTS
            if isinstance(given, str)
            else isinstance(given, tuple)
            and len(given) == 2
            and all(0 <= one <= 1 for one in given),
            f"images.focus is {list(given) if isinstance(given, tuple) else given!r}: give one of "
            f"{', '.join(POINTS)}, or a point across and down, from 0 to 1, such as [0.5, 0.3].",
        )

    @property
    def rule(self) -> Fit:
        """The same, as :func:`coti.core.fitting.fitted` takes it."""
        across, down = POINTS[self.focus] if isinstance(self.focus, str) else self.focus
        return Fit(self.fit, (across, down), self.background)
