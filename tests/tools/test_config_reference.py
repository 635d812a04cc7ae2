from __future__ import annotations

from dataclasses import fields

from coti.settings import TrainSettings
from tools.config_reference import PAGE, REGISTRIES, reference


def test_the_page_is_up_to_date() -> None:
    """What is committed is what the classes say; `python -m tools.config_reference` writes it."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_field_is_there() -> None:
    """All fields of a part, with their defaults."""
    page = reference()
    for name in (each.name for each in fields(TrainSettings)):
        assert f"| `{name}` |" in page


def test_everything_that_has_a_name_is_there() -> None:
    """What the registries hold, by the key that takes it."""
    _, names = reference().split("## What is found by name")
    for key, registry in REGISTRIES.items():
        for name in registry.names():
            (row,) = [line for line in names.splitlines() if f"`{name}`" in line]
            assert row.startswith(f"| {key} |")
