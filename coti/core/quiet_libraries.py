"""Libraries that talk: their warnings and progress bars are kept from the user's terminal."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from coti.core.shared_context import entered_once

__all__ = ["quiet_libraries"]


@entered_once
@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No warnings and progress bars of diffusers, transformers and the hub client inside, in every
    thread."""
    # Untyped modules, looked up as such.
    diffusers_logging: Any = import_module("diffusers.utils.logging")
    transformers_logging: Any = import_module("transformers.utils.logging")
    hub: Any = import_module("huggingface_hub.utils")

    levels = (diffusers_logging.get_verbosity(), transformers_logging.get_verbosity())
    hub_was_off = hub.are_progress_bars_disabled()
    bars_were_on = transformers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    hub.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_logging.set_verbosity(levels[0])
        transformers_logging.set_verbosity(levels[1])
        diffusers_logging.enable_progress_bar()
        if bars_were_on:
            transformers_logging.enable_progress_bar()
        if not hub_was_off:
            hub.enable_progress_bars()
