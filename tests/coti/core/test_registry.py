"""What may be named from outside."""

from __future__ import annotations

from typing import Any

import pytest

from coti.core.errors import ConfigError
from coti.core.registry import Registry
from tools.config_reference import REGISTRIES

ALL = pytest.mark.parametrize(
    "registry", REGISTRIES.values(), ids=lambda registry: registry.kind.replace(" ", "_")
)


@ALL
def test_what_is_registered_has_what_is_asked_of_it(registry: Registry[Any]) -> None:
    """Every registry knows what its classes must be able to do."""
    assert registry._methods
    for name in registry.names():
        registry.check(name)
        assert isinstance(registry.get(name), type)


@ALL
@pytest.mark.parametrize(
    "target",
    [
        *("os:system", "os:path", "os:name", "pathlib:Path", "builtins:object", "typing:Any"),
        *(
            ".x:y",
            "x:",
            ":",
            ":y",
            "os:nothing",
            "no.such.module:Class",
            "coti.core.errors:CotiError",
        ),
    ],
)
def test_what_is_something_else_is_one_sentence(registry: Registry[Any], target: str) -> None:
    """Before it is called, whatever it is."""
    for ask in (registry.check, registry.get):
        with pytest.raises(ConfigError, match=r"give module:Class") as refused:
            ask(target)
        assert repr(target) in str(refused.value)


def test_a_module_that_fails_when_it_is_imported(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it raises."""
    (tmp_path / "fails_on_import.py").write_text("raise ZeroDivisionError('of its own')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be imported .of its own."):
        Registry[Any]("thing", {}).check("fails_on_import:Class")
