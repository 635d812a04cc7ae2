"""Things by name, imported when asked for, and more of them from outside: how a seam is opened."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Generic, TypeVar, cast

from coti.core.errors import ConfigError

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Name to ``module:attribute``, in the order of registration; nothing is imported before use.

    What nobody registered may be named by its ``module:attribute`` itself, in a run file too.

    >>> shapes = Registry[type]("shape", {"fraction": "fractions:Fraction"})
    >>> shapes.register("path", "pathlib:Path")
    >>> shapes.get("fraction")(1, 2), shapes.names()
    (Fraction(1, 2), ['fraction', 'path'])
    >>> shapes.get("datetime:date").__name__
    'date'
    """

    def __init__(self, kind: str, targets: Mapping[str, str]) -> None:
        """``kind``: what its entries are called in messages."""
        self.kind = kind
        self.targets = dict(targets)

    def register(self, name: str, target: str) -> None:
        """Add an entry, or replace the one of that name; ``target`` is ``module:attribute``."""
        self.targets.pop(name, None)
        self.targets[name] = target

    def names(self) -> list[str]:
        """What there is."""
        return list(self.targets)

    def check(self, name: str) -> None:
        """Raise ConfigError where there is none of that name; it names those there are."""
        if ":" in name:
            self._imported(name)
        elif name not in self.targets:
            raise ConfigError(
                f"There is no {self.kind} {name!r}: take one of {', '.join(self.targets)}."
            )

    def get(self, name: str) -> T:
        """The entry of that name.

        Raises:
            ConfigError: there is none, or it cannot be imported.
        """
        if name in self.targets:
            return self._imported(self.targets[name])
        self.check(name)
        return self._imported(name)

    def _imported(self, target: str) -> T:
        module, _, attribute = target.partition(":")
        try:
            return cast(T, getattr(import_module(module), attribute))
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"The {self.kind} {target!r} cannot be imported ({error}): give module:Class of a "
                "module that Python finds."
            ) from error
