"""Things by name, imported when asked for, and more of them from outside: how a seam is opened."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import FunctionType
from typing import Generic, Protocol, TypeVar, cast

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

    def __init__(self, kind: str, targets: Mapping[str, str], protocol: type | None = None) -> None:
        """``kind``: what its entries are called in messages; ``protocol``: whose methods a class
        must have that is named from outside."""
        self.kind = kind
        self.targets = dict(targets)
        self._methods = _methods_of(protocol) if protocol else []

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
            found = getattr(import_module(module), attribute)
        except Exception as error:  # whatever a stranger's module does when it is imported
            raise ConfigError(
                f"The {self.kind} {target!r} cannot be imported ({error}): give module:Class of a "
                "module that Python finds."
            ) from error
        if not self._methods:
            return cast(T, found)
        missing = [name for name in self._methods if not callable(getattr(found, name, None))]
        if not isinstance(found, type) or missing:
            is_class = isinstance(found, type)
            lacks = f"a class without {', '.join(missing)}" if is_class else "no class"
            raise ConfigError(
                f"The {self.kind} {target!r} is {lacks}: give module:Class of one that has "
                f"{', '.join(self._methods)}."
            )
        return cast(T, found)


def _methods_of(protocol: type) -> list[str]:
    """The public methods that a protocol asks for, its parents' first."""
    return list(
        dict.fromkeys(
            name
            for base in reversed(protocol.__mro__)
            if base not in (object, Protocol, Generic)
            for name, value in vars(base).items()
            if not name.startswith("_") and isinstance(value, FunctionType | classmethod)
        )
    )
