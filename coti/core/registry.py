"""Names to implementations, imported when they are asked for (as fsspec's registry is)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from coti.core.errors import ConfigError

__all__ = ["Registry"]

T_co = TypeVar("T_co", covariant=True)


class Registry(Generic[T_co]):
    """A lazy dictionary from name to what is made by that name.

    >>> numbers = Registry("number", {"one": "math:floor"})
    >>> numbers.known()
    ['one']
    >>> numbers.factory("one")(1.5)
    1
    """

    def __init__(self, what: str, places: Mapping[str, str]) -> None:
        """``what`` is said in errors; ``places`` are ``module:attribute`` by name."""
        self._what = what
        self._places: dict[str, str | Callable[..., Any]] = dict(places)

    def register(self, name: str, factory: str | Callable[..., T_co]) -> None:
        """Add a name, or replace what stands behind it; ``module:attribute`` is imported late."""
        self._places[name] = factory

    def known(self) -> list[str]:
        """All names, in the order in which they were added."""
        return list(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def factory(self, name: str) -> Callable[..., T_co]:
        """What makes the named thing.

        Raises:
            ConfigError: no such name; the known ones are listed.
        """
        if name not in self._places:
            raise ConfigError(
                f"there is no {self._what} {name!r}: choose one of {', '.join(self._places)}."
            )
        place = self._places[name]
        if isinstance(place, str):
            module, _, attribute = place.partition(":")
            place = cast("Callable[..., Any]", getattr(import_module(module), attribute))
        return place

    def make(self, name: str, *args: Any, **more: Any) -> T_co:
        """The named thing, made with these arguments."""
        return self.factory(name)(*args, **more)
