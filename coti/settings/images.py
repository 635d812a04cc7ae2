"""What part of an image is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coti.core.fitting import Fit
from coti.settings._base import Strict, require

__all__ = ["ImageSettings"]

_POINTS = {
    "center": (0.5, 0.5),
    "top": (0.5, 0.0),
    "bottom": (0.5, 1.0),
    "left": (0.0, 0.5),
    "right": (1.0, 0.5),
}


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
    focus: Literal["center", "top", "bottom", "left", "right"] | tuple[float, float] = "center"
    """What ``crop`` keeps: a side, or a point across and down, ``[0.5, 0.3]``, shares of width and
    height, that stays as near to the middle as it can."""
    background: Literal["white", "gray", "black"] = "white"
    """Beside the image, with ``pad``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.focus, str):
            require(
                len(self.focus) == 2 and all(0 <= each <= 1 for each in self.focus),
                f"images.focus is {list(self.focus)}: give two shares from 0 to 1, across and "
                f"down, such as [0.5, 0.3], or one of {', '.join(_POINTS)}.",
            )

    @property
    def rule(self) -> Fit:
        """The same, as :func:`coti.core.fitting.fitted` takes it."""
        point = _POINTS[self.focus] if isinstance(self.focus, str) else self.focus
        return Fit(self.fit, point, self.background)
