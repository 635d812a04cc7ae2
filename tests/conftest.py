"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# Property tests say what must hold, not how fast: a busy machine must not fail them.
settings.register_profile("coti", deadline=None)
settings.load_profile("coti")
