"""What a run of an experiment is known by, and what decides which of its parts runs share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from coti.settings import EvaluationSettings, PoolSettings, RunSettings
from ops.experiment_file import ConceptSource, PlannedRun
from ops.stack.cache_policy import code_fingerprint
from ops.stack.input_hashes import fingerprint_optional, fingerprint_pool
from ops.tracking.lineage import weights_of

__all__ = [
    "ConceptIdentity",
    "Shared",
    "encoding_settings",
    "judging_settings",
    "reference_judging_settings",
]


@dataclass(frozen=True)
class ConceptIdentity:
    """A concept's inputs and the hashes of its images."""

    source: ConceptSource
    pool: str
    seeds: str
    references: str

    @classmethod
    def of(cls, source: ConceptSource, rules: PoolSettings) -> ConceptIdentity:
        """With the hashes of what is there now."""
        return cls(
            source,
            pool=fingerprint_pool(source.pool, rules),
            seeds=fingerprint_optional("seeds", source.seeds),
            references=fingerprint_optional("references", source.references),
        )

    def weights(self, settings: RunSettings) -> dict[str, str]:
        """Hashes of everything else that a run reads from outside."""
        ground_truth = fingerprint_optional("ground_truth", self.source.ground_truth)
        return {**weights_of(settings), "ground_truth": ground_truth}

    def tags(self, run: PlannedRun) -> dict[str, str]:
        """Lineage of a run's record in MLflow."""
        images = {"pool": self.pool, "seeds": self.seeds, "references": self.references}
        hashes = {**self.weights(run.settings), **images}
        return {
            "coti.concept": run.settings.concept,
            "coti.strategy": run.label,
            "coti.seed": str(run.settings.seed),
            "coti.code_hash": code_fingerprint(),
            **{f"coti.{name}_hash": value for name, value in hashes.items()},
        }

    def key(self, run: PlannedRun) -> str:
        """A run's identity: settings that can change a result, inputs and code."""
        values = [asdict(run.settings.for_results()), self.tags(run), run.label]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class Shared:
    """What runs share: made once for all whose settings agree in what it depends on."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __call__(self, what: str, settings: RunSettings, make: Callable[[], Any]) -> Any:
        """What ``make`` makes, or made for the same ``what`` and ``settings``."""
        key = f"{what} {settings}"
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def encoding_settings(settings: RunSettings) -> RunSettings:
    """What decides the features of pool, seeds and negatives, but for the text."""
    return replace(
        settings,
        concept_score=settings.concept_score.encoding,
        aesthetic=settings.aesthetic.encoding,
    ).only("scorer", "concept_score", "model", "images", "pool_rules", "aesthetic")


def judging_settings(settings: RunSettings, source: ConceptSource) -> RunSettings:
    """What decides the references' features on the judges."""
    there = replace(settings, references=source.references)
    return there.only("concept", "references", "images", "evaluation", "generation")


def reference_judging_settings(settings: RunSettings, source: ConceptSource) -> RunSettings:
    """What decides the references' features on the reference judge."""
    half = EvaluationSettings(references_half=settings.evaluation.references_half)
    there = replace(settings, references=source.references, evaluation=half)
    return there.only("references", "images", "baselines", "measurement", "evaluation")
