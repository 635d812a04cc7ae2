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
]


class CotiError(Exception):
    """Base of all errors raised on purpose; its text is meant for the user.

    It names what it is about, a URL with a signature in it, too: that is taken out here.
    """

    def __init__(self, *said: object) -> None:
        super().__init__(*(redacted(each) if isinstance(each, str) else each for each in said))


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
