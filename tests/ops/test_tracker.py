"""What MLflow, a file system and ZenML call a concept."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from ops.tracking.tracker import slug

WORDS = st.one_of(st.text(), st.text(st.sampled_from("abAB12 -_!+#é🦊\u0301"), max_size=6))


@given(WORDS, WORDS)
@example("🦊", "🐱")
@example("C++", "C#")
@example("Ankle-Boot!", "ankle boot")
@example("ankle-boot", "ankle boot")
@example("x" * 300, "x" * 299)
@example("concept", "🦊")
@example("ankle boot", "ankle  boot")
def test_two_concepts_never_share_a_name(one: str, other: str) -> None:
    """And each name is one that any of them takes."""
    assert (slug(one) == slug(other)) == (one == other)
    assert re.fullmatch(r"[a-z0-9]+(-{1,2}[a-z0-9]+)*", slug(one))
    assert len(slug(one)) < 120
