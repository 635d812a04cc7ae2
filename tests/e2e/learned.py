"""What the loop learns of a workspace's concept, in this process and without ZenML.

``test_one_loop.py`` shows that this is what the pipelines learn, bit for bit; so every other test
that asks for the embedding of an undisturbed run takes it from here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from coti.inversion.adapters.embedding import Embedding
from coti.loop.learn import learn
from coti.pool.concept_data import concept_data
from coti.settings import RunSettings
from coti.settings.from_yaml import parse_settings
from ops.stack.loaded_models import located, models_of
from tests.e2e.conftest import TINY, Workspace

__all__ = ["learned", "run_settings", "vectors_of"]


def run_settings(space: Workspace, **changes: Any) -> RunSettings:
    """The settings of ``space.config(…, **changes)``, its files found."""
    values = {**TINY, **changes}
    for name in ("seeds", "pool", "references", "ground_truth"):
        if values[name] is not None:
            values[name] = str(space.root / values[name])
    return located(parse_settings(values, "a test"))


def learned(space: Workspace, **changes: Any) -> bytes:
    """The tensor's bytes of the embedding that a run of ``space.config(…, **changes)`` learns."""
    # Every workspace has the same images: one training for all of them.
    key = json.dumps(changes, sort_keys=True)
    if key not in _KNOWN:
        settings = run_settings(space, **changes)
        models = replace(models_of(settings), judge=None)
        result = learn(models, concept_data(settings, models), settings)
        _KNOWN[key] = vectors_of(result.embedding)
    return _KNOWN[key]


_KNOWN: dict[str, bytes] = {}


def vectors_of(embedding: Embedding) -> bytes:
    """The tensor's bytes."""
    (vectors,) = embedding.parts
    return bytes(vectors.numpy().tobytes())
