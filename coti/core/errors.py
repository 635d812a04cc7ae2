"""Every error that COTI raises on purpose.

A message says what was wrong with which input and what to do about it; whoever catches
:class:`CotiError` at the edge (a command, a pipeline's body) can print it as it is::

    CotiError
    ├── ConfigError     a setting is missing, unknown, or contradicts another one
    ├── ModelError      a model folder, hub id or weights file cannot be used
    ├── EmbeddingError  an embedding file or a token does not fit the model
    ├── PoolError       a pool, seed or reference source cannot be used
    ├── TrainingError   training stopped: not finite, out of memory, a checkpoint that misfits
    ├── MetricError     a metric is not defined on what it was given
    ├── RegistryError   the registry refused, or is held by somebody else
    └── StoreError      the artifact store or the tracking server cannot be used
"""

from __future__ import annotations

import re

from coti.core.redaction import redacted

__all__ = [
    "ConfigError",
    "CotiError",
    "EmbeddingError",
    "MetricError",
    "ModelError",
    "PoolError",
    "RegistryError",
    "StoreError",
    "TrainingError",
    "shortened",
]

_LONGEST_WORD, _LONGEST = 300, 2_000
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD + 1},}}")


def shortened(text: str) -> str:
    """A text that can be shown in a sentence: of what is quoted in it at any length the middle is
    left out.

    >>> shortened("x" * 5_000)[198:203], len(shortened("a b " * 5_000))
    ('xx…xx', 2001)
    """
    text = _LONG_WORD.sub(lambda found: _cut(found[0], _LONGEST_WORD), text)
    return _cut(text, _LONGEST)


def _cut(text: str, most: int) -> str:
    end = most // 3
    return text if len(text) <= most else f"{text[: most - end]}…{text[-end:]}"


class CotiError(Exception):
    """Base of all errors raised on purpose; its text is meant for the user.

    It names what it is about, a URL with a signature in it, too: that is taken out here. So is the
    middle of what is quoted at any length.
    """

    def __init__(self, *said: object) -> None:
        super().__init__(
            *(shortened(redacted(each)) if isinstance(each, str) else each for each in said)
        )


class ConfigError(CotiError):
    """A setting is missing, unknown, or contradicts another one."""


class ModelError(CotiError):
    """A model folder, hub id or weights file cannot be used."""


class EmbeddingError(CotiError):
    """An embedding file or a token does not fit the model."""


class PoolError(CotiError):
    """A pool, seed or reference source cannot be used."""


class TrainingError(CotiError):
    """Training stopped: not finite, out of memory, or a checkpoint that does not fit."""


class MetricError(CotiError):
    """A metric is not defined on what it was given."""


class RegistryError(CotiError):
    """The registry refused, or somebody else holds its lease."""


class StoreError(CotiError):
    """The artifact store or the tracking server refused, or does not answer."""
