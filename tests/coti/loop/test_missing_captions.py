"""Captions of what has none: nothing else is touched, and they are trained on."""

from __future__ import annotations

from typing import Self

import torch
from hypothesis import given
from hypothesis import strategies as st

from coti.core.image_set import ImageSet
from coti.encoders.captioners import CAPTIONERS, CaptionerOptions
from coti.loop.missing_captions import load_captioner, with_missing
from coti.settings import RunSettings


class ByBrightness:
    """Says how bright an image is; of a black one nothing."""

    @classmethod
    def load(cls, options: CaptionerOptions) -> Self:
        """Nothing is loaded."""
        return cls()

    def describe(self, images: torch.Tensor) -> list[str]:
        """uint8 [n, 3, h, w] to a number each."""
        return [str(int(image.max())) if image.any() else "" for image in images]


@given(st.lists(st.sampled_from(["", "a boot"]), min_size=1, max_size=9), st.data())
def test_only_what_lacks_one_gets_one(own: list[str], data: st.DataObject) -> None:
    """The pool's own stay, an image that is not asked for gets none, silence is no caption."""
    names = [f"p{number}" for number in range(len(own))]
    images = torch.zeros(len(own), 3, 2, 2, dtype=torch.uint8)
    images += torch.arange(len(own), dtype=torch.uint8)[:, None, None, None]
    captions = dict(zip(names, own, strict=True))
    asked = data.draw(st.lists(st.sampled_from(names), unique=True))
    found = with_missing(captions, asked, ImageSet(names, images), ByBrightness(), "our {} style")
    for number, name in enumerate(names):
        made = name in asked and not captions[name] and number > 0
        assert found[name] == (f"our {number} style" if made else captions[name])
    assert with_missing(captions, asked, ImageSet(names, images), None, "{}") == captions


def test_one_from_outside_is_named_in_the_settings() -> None:
    """By ``module:Class``, and none is loaded unless it is asked for."""
    given = {"captioner": {"kind": f"{__name__}:ByBrightness"}, "concept": "boot"}
    scorer = object()
    assert load_captioner(RunSettings(), scorer) is None  # type: ignore[arg-type]
    from coti.settings.from_yaml import parse_settings

    settings = parse_settings({**given, "captions": "auto"}, "a test")
    assert type(load_captioner(settings, scorer)).__name__ == "ByBrightness"  # type: ignore[arg-type]
    assert "ByBrightness" not in CAPTIONERS.names()
