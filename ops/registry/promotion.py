"""Who is the champion: promotion through the gate, and the way back.

Held by a lease, and written down in the audit trail before the alias moves.
"""

from __future__ import annotations

import dataclasses
import itertools
import json

from mlflow.entities.model_registry import ModelVersion

from coti.core.errors import RegistryError
from coti.settings import PromotionSettings
from ops.registry.audit import actor, append, entries
from ops.registry.embedding_registry import CHALLENGER, CHAMPION, EmbeddingRegistry, metrics_of
from ops.registry.gate import Verdict, judge_promotion
from ops.registry.tags import tag_json

__all__ = [
    "GATE_TAG",
    "OUTCOME_TAG",
    "VERDICT_TAG",
    "kept_gate",
    "promote",
    "rollback",
    "unrecorded",
]

GATE_TAG = "coti.promotion"
"""The gate of the version's own run file, as JSON."""
VERDICT_TAG = "coti.verdict"
"""What the gate said of a version."""
OUTCOME_TAG = "coti.outcome"
"""Whether the version's run worked (:mod:`coti.loop.verdict`)."""


def promote(
    registry: EmbeddingRegistry,
    version: ModelVersion,
    settings: PromotionSettings,
    why: str = "the best cycle of a run",
    seconds: float = 30.0,
    keep_gate: bool = True,
) -> Verdict:
    """Make a version the champion if the gate lets it pass.

    Args:
        registry: the concept's entry.
        version: the challenger.
        settings: the gate's margins and floors.
        why: for the audit trail.
        seconds: how long to wait for somebody else's promotion to end.
        keep_gate: the settings are of the version's own run file and stay with it, for
            :func:`kept_gate`; else they hold this once.

    Raises:
        RegistryError: somebody else is promoting, or the file cannot be read.
    """
    who = actor()
    with registry.locked(registry.name, who, seconds) as still_mine:
        if keep_gate:
            _keep_gate(registry, version, settings)
        if registry.has_alias(version, CHAMPION):
            _crown(registry, version)  # whoever was killed while crowning it left it both aliases
            return Verdict(True, f"version {version.version} is the champion already.")
        champion = registry.champion()
        faults = registry.faults(version)
        lost = registry.vanished()
        if faults:
            verdict = Verdict(False, f"not promoted: {faults[0]}.")
        elif lost is not None:
            verdict = Verdict(
                False,
                f"not promoted: ZenML remembers {lost} as the champion of {registry.name!r}, and "
                "MLflow's registry has none: put its database back, or, if it is gone for good, "
                f"`zenml model delete {registry.name}` and promote again.",
            )
        elif (said := unrecorded(registry)) is not None:
            verdict = Verdict(False, f"not promoted: {said}")
        else:
            best = None if champion is None else metrics_of(champion)
            verdict = judge_promotion(metrics_of(version), best, settings)
        still_mine()
        registry.client.set_model_version_tag(
            registry.name, version.version, VERDICT_TAG, verdict.reason
        )
        append(
            registry.client,
            registry.name,
            action="promote" if verdict.promoted else "refuse",
            version=int(version.version),
            previous=_number(champion),
            who=who,
            why=why,
            verdict=verdict.reason,
        )
        if verdict.promoted:
            _crown(registry, version)
        return verdict


def rollback(
    registry: EmbeddingRegistry, to: str | None, why: str, seconds: float = 30.0
) -> ModelVersion:
    """Make an earlier version the champion again; its file is looked at, no metric is.

    Args:
        registry: the concept's entry.
        to: a version's number; without it, the champion before the present one.
        why: for the audit trail.
        seconds: how long to wait for somebody else's promotion to end.

    Raises:
        RegistryError: there is no such version, its file is not sound, or somebody else is
            promoting.
    """
    who = actor()
    with registry.locked(registry.name, who, seconds) as still_mine:
        champion = registry.champion()
        target = registry.version(to or str(_before(registry, champion)))
        if registry.has_alias(target, CHAMPION) and unrecorded(registry) is None:
            raise RegistryError(f"version {target.version} is the champion already.")
        faults = registry.faults(target)
        if faults:
            raise RegistryError(f"version {target.version} cannot be restored: {faults[0]}.")
        still_mine()
        append(
            registry.client,
            registry.name,
            action="rollback",
            version=int(target.version),
            previous=_number(champion),
            who=who,
            why=why,
            verdict=f"version {target.version} is the champion again.",
        )
        _crown(registry, target)
        return target


def unrecorded(registry: EmbeddingRegistry) -> str | None:
    """A sentence where the champion became it by no promotion or rollback that is written down.

    MLflow has no right for aliases alone: who may write the entry may also move the champion.
    """
    champion = _number(registry.champion())
    made = [e for e in entries(registry.client, registry.name) if e.action != "refuse"]
    # the line is written before the alias moves
    if champion is None or (made and champion in (made[-1].version, made[-1].previous)):
        return None
    return (
        f"version {champion} of {registry.name!r} is the champion, and no promotion or rollback "
        f"of it is written down: `coti registry rollback {registry.name} --to {champion} --why …` "
        "does so, --to another version makes that the champion."
    )


def kept_gate(version: ModelVersion) -> PromotionSettings | None:
    """The gate of the version's own run file; None for one registered without.

    Raises:
        RegistryError: what is kept with the version is no gate of this release.
    """
    if GATE_TAG not in version.tags:
        return None
    remedy = "it is the gate kept with the version: name the concept's run file with -c"
    return tag_json(version, GATE_TAG, lambda values: PromotionSettings(**values), remedy)


def _keep_gate(
    registry: EmbeddingRegistry, version: ModelVersion, settings: PromotionSettings
) -> None:
    """Also of a version that was there before: its run file's gate may have changed."""
    gate = json.dumps(dataclasses.asdict(settings), sort_keys=True)
    if version.tags.get(GATE_TAG) != gate:
        registry.client.set_model_version_tag(registry.name, version.version, GATE_TAG, gate)


def _before(registry: EmbeddingRegistry, champion: ModelVersion | None) -> int:
    """The champion before the present one, by the audit trail; what was rolled back is none."""
    line: list[int] = []
    for entry in entries(registry.client, registry.name):
        if entry.action == "rollback" and entry.version in line:
            del line[line.index(entry.version) + 1 :]
        elif entry.action in ("promote", "rollback"):
            if not line and entry.previous is not None:
                line.append(entry.previous)
            line.append(entry.version)
    for before, after in reversed(list(itertools.pairwise(line))):
        if after == _number(champion):
            return before
    raise RegistryError(
        f"{registry.name!r} had no champion before the present one; name a version with --to."
    )


def _number(version: ModelVersion | None) -> int | None:
    return None if version is None else int(version.version)


def _crown(registry: EmbeddingRegistry, version: ModelVersion) -> None:
    registry.client.set_registered_model_alias(registry.name, CHAMPION, version.version)
    if registry.has_alias(version, CHALLENGER):
        registry.client.delete_registered_model_alias(registry.name, CHALLENGER)
