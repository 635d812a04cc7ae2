"""Who becomes the champion: promotion through the gate, or by a person who answers for it.

Held by a lease, and written down in the audit trail before the alias moves.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Literal

from mlflow.entities.model_registry import ModelVersion

from coti.core.errors import RegistryError
from coti.settings import PromotionSettings
from ops.registry.audit import actor, append, champions, entries
from ops.registry.embedding_registry import CHALLENGER, CHAMPION, EmbeddingRegistry, metrics_of
from ops.registry.gate import Verdict, judge_promotion, missing_metrics
from ops.registry.tags import tag_json

__all__ = [
    "ACCEPTED_TAG",
    "GATE_TAG",
    "OUTCOME_TAG",
    "VERDICT_TAG",
    "accept_without_metrics",
    "crown",
    "kept_gate",
    "number_of",
    "promote",
    "unrecorded",
]

ACCEPTED_TAG = "coti.accepted_without_metrics"
"""Of a version that no metric made champion: who answers for it, and why."""

GATE_TAG = "coti.promotion"
"""The gate of the version's own run file, as JSON."""
VERDICT_TAG = "coti.verdict"
"""What the gate said of a version."""
OUTCOME_TAG = "coti.outcome"
"""Whether the version's run worked (:mod:`coti.loop.verdict`)."""
_LONGEST_TAG = 1000
"""Characters; a tag's value takes 5,000."""


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
            :func:`kept_gate`; else they hold this once, and a person has looked at the run.

    Raises:
        RegistryError: somebody else is promoting, or the file cannot be read.
    """
    who = actor()
    with registry.locked(registry.name, who, seconds) as still_mine:
        if keep_gate:
            _keep_gate(registry, version, settings)
        if registry.has_alias(version, CHAMPION):
            crown(registry, version)  # whoever was killed while crowning it left it both aliases
            return Verdict(True, f"version {version.version} is the champion already.")
        champion = registry.champion()
        verdict = _obstacle(registry, version)
        outcome = version.tags.get(OUTCOME_TAG, "worked")
        if verdict is None and keep_gate and settings.worked_only and outcome != "worked":
            verdict = Verdict(
                False,
                f"not promoted: its run is {outcome}, and its report says why; look at it, then "
                f"`coti registry promote {registry.name} {version.version} --why …`.",
            )
        if verdict is None:
            best = None if champion is None else metrics_of(champion)
            verdict = judge_promotion(metrics_of(version), best, settings)
        still_mine()
        _settle(registry, version, champion, verdict, "promote", who=who, why=why)
        return verdict


def accept_without_metrics(
    registry: EmbeddingRegistry, version: ModelVersion, why: str, seconds: float = 30.0
) -> Verdict:
    """Make a version the champion that the gate cannot judge: a person answers for it.

    Its file must be sound, and the present champion one that is written down, as for the gate. Who
    and why stay with the version (:data:`ACCEPTED_TAG`) and in the audit trail.

    Args:
        registry: the concept's entry.
        version: one that lacks a metric of the gate, or whose champion does.
        why: for the audit trail.
        seconds: how long to wait for somebody else's promotion to end.

    Raises:
        RegistryError: the gate can judge it; or somebody else is promoting.
    """
    who = actor()
    with registry.locked(registry.name, who, seconds) as still_mine:
        if registry.has_alias(version, CHAMPION):
            crown(registry, version)
            return Verdict(True, f"version {version.version} is the champion already.")
        champion = registry.champion()
        own = missing_metrics(metrics_of(version))
        theirs = [] if champion is None else missing_metrics(metrics_of(champion))
        if not own and not theirs:
            raise RegistryError(
                f"version {version.version} has the metrics that the gate needs: promote it "
                "without --accept-without-metrics."
            )
        verdict = _obstacle(registry, version)
        if verdict is None:
            whose = "" if own else "the champion's "
            lacking = f"{whose}{' and '.join(own or theirs)}"
            verdict = Verdict(True, f"accepted without metrics ({lacking} missing) by {who}: {why}")
        still_mine()
        if verdict.promoted:
            registry.client.set_model_version_tag(
                registry.name, version.version, ACCEPTED_TAG, f"{who}: {why}"[:_LONGEST_TAG]
            )
        _settle(registry, version, champion, verdict, "accept_without_metrics", who=who, why=why)
        return verdict


def _obstacle(registry: EmbeddingRegistry, version: ModelVersion) -> Verdict | None:
    """Why a version cannot become the champion, whatever its metrics are."""
    said: str | None
    if faults := registry.faults(version):
        said = f"{faults[0]}."
    elif (lost := registry.vanished()) is not None:
        said = (
            f"ZenML remembers {lost} as the champion of {registry.name!r}, and MLflow's registry "
            "has none: put its database back, or, if it is gone for good, `zenml model delete "
            f"{registry.name}` and promote again."
        )
    else:
        said = unrecorded(registry)
    return None if said is None else Verdict(False, f"not promoted: {said}")


def _settle(
    registry: EmbeddingRegistry,
    version: ModelVersion,
    champion: ModelVersion | None,
    verdict: Verdict,
    action: Literal["promote", "accept_without_metrics"],  # where it passes
    *,
    who: str,
    why: str,
) -> None:
    """Write a verdict down, and let it come true."""
    registry.client.set_model_version_tag(
        registry.name, version.version, VERDICT_TAG, verdict.reason[:_LONGEST_TAG]
    )
    append(
        registry.client,
        registry.name,
        action=action if verdict.promoted else "refuse",
        version=int(version.version),
        previous=number_of(champion),
        who=who,
        why=why,
        verdict=verdict.reason,
    )
    if verdict.promoted:
        crown(registry, version)


def unrecorded(registry: EmbeddingRegistry) -> str | None:
    """A sentence where the champion became it by no promotion or rollback that is written down.

    MLflow has no right for aliases alone: who may write the entry may also move the champion.
    """
    champion = number_of(registry.champion())
    trail = entries(registry.client, registry.name)
    made = [entry for entry in trail if entry.action != "refuse"]
    # the line is written before the alias moves
    if champion is None or (made and champion in (made[-1].version, made[-1].previous)):
        return None
    force = "" if champion in champions(trail) else " --force"
    return (
        f"version {champion} of {registry.name!r} is the champion, and no promotion or rollback "
        f"of it is written down: `coti registry rollback {registry.name} --to {champion}{force} "
        "--why …` does so, --to another version makes that the champion."
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


def number_of(version: ModelVersion | None) -> int | None:
    """A version's number, if there is a version."""
    return None if version is None else int(version.version)


def crown(registry: EmbeddingRegistry, version: ModelVersion) -> None:
    """Move the champion's alias; the caller holds the lease and has written it down."""
    registry.client.set_registered_model_alias(registry.name, CHAMPION, version.version)
    if registry.has_alias(version, CHALLENGER):
        registry.client.delete_registered_model_alias(registry.name, CHALLENGER)
