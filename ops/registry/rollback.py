"""The way back to a former champion.

Held by a lease, and written down in the audit trail before the alias moves, as a promotion is.
"""

from __future__ import annotations

import itertools

from mlflow.entities.model_registry import ModelVersion

from coti.core.errors import RegistryError
from ops.registry.audit import Action, actor, append, champions, entries
from ops.registry.embedding_registry import CHAMPION, EmbeddingRegistry
from ops.registry.promotion import crown, number_of, unrecorded

__all__ = ["rollback"]


def rollback(
    registry: EmbeddingRegistry,
    to: str | None,
    why: str,
    seconds: float = 30.0,
    force: bool = False,
) -> ModelVersion:
    """Make a former champion the champion again; its file is looked at, no metric is.

    Args:
        registry: the concept's entry.
        to: a version's number; without it, the champion before the present one.
        why: for the audit trail.
        seconds: how long to wait for somebody else's promotion to end.
        force: also a version that never was the champion, which the trail then says.

    Raises:
        RegistryError: there is no such version, it never was the champion, its file is not sound,
            or somebody else is promoting.
    """
    who = actor()
    with registry.locked(registry.name, who, seconds) as still_mine:
        champion = registry.champion()
        target = registry.version(to or str(_before(registry, champion)))
        if registry.has_alias(target, CHAMPION) and unrecorded(registry) is None:
            raise RegistryError(f"version {target.version} is the champion already.")
        was_champion = _was_champion(registry, target, champion)
        if not was_champion and not force:
            raise RegistryError(
                f"version {target.version} of {registry.name!r} never was the champion, by the "
                f"audit trail: `coti registry promote {registry.name} {target.version} --why …` "
                "asks the gate; --force makes it the champion all the same, and that is written "
                "down."
            )
        faults = registry.faults(target)
        if faults:
            raise RegistryError(f"version {target.version} cannot be restored: {faults[0]}.")
        action: Action = "rollback" if was_champion else "force_rollback"
        again = "again" if was_champion else "by force: it never was before"
        still_mine()
        append(
            registry.client,
            registry.name,
            action=action,
            version=int(target.version),
            previous=number_of(champion),
            who=who,
            why=why,
            verdict=f"version {target.version} is the champion {again}.",
        )
        crown(registry, target)
        return target


def _was_champion(
    registry: EmbeddingRegistry, version: ModelVersion, champion: ModelVersion | None
) -> bool:
    """By the audit trail; that of a forced rollback killed before its alias does not count."""
    trail = entries(registry.client, registry.name)
    last = trail[-1] if trail else None
    if last and last.action == "force_rollback" and last.version != number_of(champion):
        trail = trail[:-1]
    return int(version.version) in champions(trail)


def _before(registry: EmbeddingRegistry, champion: ModelVersion | None) -> int:
    """The champion before the present one, by the audit trail; what was rolled back is none."""
    line: list[int] = []
    for entry in entries(registry.client, registry.name):
        if entry.action == "refuse":
            continue
        if entry.action == "rollback" and entry.version in line:
            del line[line.index(entry.version) + 1 :]
        else:
            if not line and entry.previous is not None:
                line.append(entry.previous)
            line.append(entry.version)
    for before, after in reversed(list(itertools.pairwise(line))):
        if after == number_of(champion):
            return before
    raise RegistryError(
        f"{registry.name!r} had no champion before the present one; name a version with --to."
    )
