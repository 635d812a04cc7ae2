"""The registry's tags may be damaged by whoever may write them."""

from __future__ import annotations

import json
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from coti.core.errors import CotiError, RegistryError
from coti.inversion.safety import Vocabulary
from coti.settings import PromotionSettings
from ops.registry.audit import PREFIX, entries
from ops.registry.embedding_registry import (
    METRICS_TAG,
    VOCABULARY_TAG,
    EmbeddingRegistry,
    metrics_of,
)
from ops.registry.gate import judge_promotion
from ops.registry.promotion import GATE_TAG, kept_gate
from tests.adversary.bit_flips import flipped

METRICS = {
    "fd_judge": 1.5,
    "r_precision": 0.9,
    "r_precision_candidates": 10,
    "generated": 2560,
    "references": 1000,
    "references_hash": "r",
    "judge_hash": "j",
}
LINE: dict[str, Any] = {
    "time": "2026-01-01T00:00:00+00:00",
    "action": "promote",
    "version": 2,
    "previous": None,
    "who": "ada",
    "why": "better",
    "verdict": "promoted",
}
DAMAGED = ["", "{", "null", "[1]", '"x"', '{"a": NaN', "[" * 5000, '{"version": "x"}']


def _version(name: str, value: str) -> ModelVersion:
    return ModelVersion("boot", "3", 0, tags=cast(Any, [SimpleNamespace(key=name, value=value)]))


def _model(value: str) -> MlflowClient:
    tags = cast(Any, [SimpleNamespace(key=f"{PREFIX}000001", value=value)])
    model = RegisteredModel("boot", tags=tags)
    return cast(MlflowClient, SimpleNamespace(get_registered_model=lambda name: model))


@pytest.mark.parametrize("value", DAMAGED)
def test_a_damaged_tag_is_a_sentence(value: str) -> None:
    """Which, and whose; in each place that reads one."""
    places: dict[str, Any] = {
        METRICS_TAG: lambda: metrics_of(_version(METRICS_TAG, value)),
        GATE_TAG: lambda: kept_gate(_version(GATE_TAG, value)),
        VOCABULARY_TAG: lambda: EmbeddingRegistry(cast(Any, None), "boot").faults(
            _version(VOCABULARY_TAG, value)
        ),
    }
    if value == DAMAGED[-1]:
        del places[METRICS_TAG]  # an object that says nothing of the metrics' names
    for name, read in places.items():
        with pytest.raises(RegistryError, match=rf"{name} of boot version 3 cannot be read \(.+\)"):
            read()
    with pytest.raises(RegistryError, match=rf"{PREFIX}000001 of boot cannot .*: mend"):
        entries(_model(value), "boot")


@pytest.mark.parametrize("seed", range(60))
def test_whatever_bit_flips_in_a_tag(seed: int) -> None:
    """It is a sentence, or one can go on with what is read: the gate judges, a line is shown."""

    def changed(values: Any) -> str:
        return flipped(json.dumps(values).encode(), seed).decode(errors="replace")

    text = changed(METRICS)
    with suppress(RegistryError):
        found = metrics_of(_version(METRICS_TAG, text))
        for challenger, champion in ((found, METRICS), (METRICS, found), (found, None)):
            assert judge_promotion(challenger, champion, PromotionSettings()).reason
    with suppress(RegistryError):
        (line,) = entries(_model(changed(LINE)), "boot")
        assert isinstance(line.version, int)
    with suppress(CotiError):
        kept_gate(_version(GATE_TAG, changed({"fd_margin": 0.02, "min_samples": 10})))
    vocabulary = json.loads(Vocabulary((4,), (1.0,), (3.0,)).to_json())
    registry = EmbeddingRegistry(cast(Any, None), "boot")
    with pytest.raises((RegistryError, AttributeError)) as caught:
        registry.faults(_version(VOCABULARY_TAG, changed(vocabulary)))
    if isinstance(caught.value, AttributeError):  # only without a client to fetch the file with
        assert "NoneType" in str(caught.value)
