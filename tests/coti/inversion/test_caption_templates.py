from __future__ import annotations

from coti.inversion.caption_templates import OBJECT_TEMPLATES, STYLE_TEMPLATES, templates_for


def test_there_are_27_object_and_19_style_templates() -> None:
    """As many as in the paper's code, each with one place for the token."""
    assert len(OBJECT_TEMPLATES) == 27
    assert len(STYLE_TEMPLATES) == 19
    assert all(template.count("{}") == 1 for template in OBJECT_TEMPLATES + STYLE_TEMPLATES)
    assert templates_for("object") is OBJECT_TEMPLATES
    assert templates_for("style") is STYLE_TEMPLATES
