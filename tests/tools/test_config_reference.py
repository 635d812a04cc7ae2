from __future__ import annotations

from coti.settings import TrainSettings
from tools.config_reference import PAGE, reference


def test_the_page_is_up_to_date() -> None:
    """What is committed is what the classes say; `python -m tools.config_reference` writes it."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_field_is_there() -> None:
    """All fields of a part, with their defaults."""
    page = reference()
    for name in TrainSettings.__dataclass_fields__:
        assert f"| `{name}` |" in page
