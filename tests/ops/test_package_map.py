"""The remembered map of installed packages."""

from __future__ import annotations

import importlib.metadata

import pytest

from ops.stack.package_map import remember_packages


def test_the_answer_is_the_same_and_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ZenML asks for stays what it was; a second call to remember changes nothing."""
    original = importlib.metadata.packages_distributions
    monkeypatch.setattr(importlib.metadata, "packages_distributions", original)
    remember_packages()
    remembered = importlib.metadata.packages_distributions
    remember_packages()
    assert importlib.metadata.packages_distributions is remembered
    assert remembered() is remembered()
    assert remembered()["torch"] == ["torch"]
