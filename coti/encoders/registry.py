"""Encoders by name; from outside: ``ENCODERS.register("mine", "my.module:MyEncoder")``."""

from __future__ import annotations

from coti.core.registry import Registry
from coti.encoders.protocol import EncoderOptions, ImageEncoder, LoadableEncoder

__all__ = ["ENCODERS", "load_encoder"]

ENCODERS = Registry[type[LoadableEncoder]](
    "encoder",
    {
        "open_clip": "coti.encoders.open_clip_encoder:OpenClipEncoder",
        "autoencoder": "coti.encoders.autoencoder:AutoencoderEncoder",
        "timm": "coti.encoders.timm_encoder:TimmEncoder",
        "inception": "coti.encoders.inception:InceptionEncoder",
        "efficientnet": "coti.encoders.efficientnet:EfficientNetLite0",
    },
    LoadableEncoder,
)


def load_encoder(name: str, options: EncoderOptions) -> ImageEncoder:
    """Load the encoder of that name.

    Raises:
        ConfigError: there is none; names those there are.
        ModelError: nothing can be loaded from the options.
    """
    return ENCODERS.get(name).load(options)
