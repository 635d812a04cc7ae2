"""Encoders by name, imported when asked for; :func:`register_encoder` adds one from outside."""

from __future__ import annotations

from importlib import import_module

from coti.core.errors import ConfigError
from coti.encoders.protocol import EncoderOptions, ImageEncoder, LoadableEncoder

__all__ = ["check_encoder", "load_encoder", "register_encoder"]

ENCODERS: dict[str, str] = {
    "open_clip": "coti.encoders.open_clip_encoder:OpenClipEncoder",
    "autoencoder": "coti.encoders.autoencoder:AutoencoderEncoder",
    "inception": "coti.encoders.inception:InceptionEncoder",
    "efficientnet": "coti.encoders.efficientnet:EfficientNetLite0",
}
"""Name to ``module:class``."""


def register_encoder(name: str, target: str) -> None:
    """Add an encoder, or replace the one of that name; ``target`` is ``module:class``."""
    ENCODERS[name] = target


def check_encoder(name: str) -> None:
    """Raise ConfigError where there is no encoder of that name, and name those there are."""
    if name not in ENCODERS:
        raise ConfigError(f"There is no encoder {name!r}: take one of {', '.join(ENCODERS)}.")


def load_encoder(name: str, options: EncoderOptions) -> ImageEncoder:
    """Load the encoder of that name.

    Raises:
        ConfigError: there is none; names those there are.
        ModelError: nothing can be loaded from the options.
    """
    check_encoder(name)
    module, _, kind = ENCODERS[name].partition(":")
    encoder: type[LoadableEncoder] = getattr(import_module(module), kind)
    return encoder.load(options)
