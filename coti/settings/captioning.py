"""What describes an image that nobody wrote a caption for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from coti.settings._base import Strict, require


@dataclass(frozen=True)
class CaptionerSettings(Strict):
    """What describes images that have no caption, with ``captions: auto``."""

    _section = "captioner."
    MOST: ClassVar[Mapping[str, int]] = {
        "batch_size": 65_536,
    }

    kind: str = "tags"
    """``tags``: the scorer chooses among the words of ``tags``; ``transformers``: a model that
    writes, such as BLIP; or another name of ``coti.encoders.captioners``."""
    model: str | None = None
    """Of ``transformers``: a folder (``config.json``, ``model.safetensors``, the processor's files;
    ``s3://``, too), or a name of the hub, such as ``Salesforce/blip-image-captioning-base``."""
    sha256: str | None = None
    """Pinned hash of the folder, as ``coti weights hash`` prints it."""
    batch_size: int = 16
    """Images at once, of ``transformers``."""
    tags: tuple[str, ...] = (
        "photo | drawing | painting | 3d render",
        "sharp | blurry | grainy | pixelated",
        "white background | black background | outdoors | indoors",
    )
    """Of ``tags``: alternatives, of which the one that is more likely than all other ones together
    is written, if one is."""
    template: str = "{}"
    """The caption, ``{}`` what was found: ``a picture in our style, {}``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(1, "batch_size")
        require(
            self.template.count("{}") == 1 and self.template.replace("{}", "").find("{") < 0,
            f"captioner.template is {self.template!r}: it has {{}} once, where the text goes.",
        )
        for each in self.tags:
            require(
                len([word for word in each.split("|") if word.strip()]) >= 2,
                f"captioner.tags has {each!r}: give alternatives, divided by |.",
            )
