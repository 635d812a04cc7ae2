"""Captions of the images that have none, where a run asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coti.encoders.captioners import CAPTIONERS, Captioner, CaptionerOptions
from coti.encoders.protocol import ImageTextEncoder
from coti.loop.inputs import Images
from coti.settings import RunSettings

__all__ = ["load_captioner", "with_missing"]


def load_captioner(settings: RunSettings, scorer: ImageTextEncoder) -> Captioner | None:
    """What describes the images of a run that have no caption; None with ``captions: pool``.

    ``settings``: with files as they are found here, of ``located_settings``.

    Raises:
        ConfigError: there is no captioner of that name.
        ModelError: it cannot be loaded.
    """
    if settings.captions == "pool":
        return None
    own = settings.captioner
    return CAPTIONERS.get(own.kind).load(
        CaptionerOptions(
            concept=settings.concept,
            scorer=scorer,
            tags=own.tags,
            model=own.model,
            sha256=own.sha256,
            batch_size=own.batch_size,
        )
    )


def with_missing(
    captions: Mapping[str, str],  # id to caption
    ids: Sequence[str],  # that are to have one
    images: Images,
    captioner: Captioner | None,
    template: str,  # {} is what the captioner says
) -> dict[str, str]:
    """The captions, and the captioner's of what has none; of these it says nothing of some."""
    lacking = [name for name in ids if not captions.get(name)]
    if captioner is None or not lacking:
        return dict(captions)
    said = zip(lacking, captioner.describe(images.tensor(lacking)), strict=True)
    return {**captions, **{name: template.replace("{}", text) for name, text in said if text}}
