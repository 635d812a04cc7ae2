"""The options of what part of an image is used: ``--fit``, ``--focus``, ``--background``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, get_args, get_type_hints

import click

from coti.settings import ImageSettings

__all__ = ["fit_options"]

_KINDS = get_type_hints(ImageSettings)


def fit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command ``fit``, a :class:`coti.core.fitting.Fit`, as a run file's ``images`` do."""

    @click.option(
        "--fit",
        type=click.Choice(get_args(_KINDS["fit"])),
        default="crop",
        help="How images become squares, as `images.fit` of a run file.",
    )
    @click.option("--focus", default="center", help="What crop keeps: a side, or X,Y from 0 to 1.")
    @click.option(
        "--background",
        type=click.Choice(get_args(_KINDS["background"])),
        default="white",
        help="What pad puts beside the image.",
    )
    @wraps(command)
    def with_fit(*args: Any, fit: Any, focus: str, background: Any, **values: Any) -> Any:
        return command(*args, fit=ImageSettings(fit, _point(focus), background).rule, **values)

    return with_fit


def _point(focus: str) -> Any:
    """A point where it is one, else the name.

    >>> _point("top"), _point("0.5,0.3")
    ('top', (0.5, 0.3))
    """
    try:
        return tuple(float(part) for part in focus.split(","))
    except ValueError:
        return focus
