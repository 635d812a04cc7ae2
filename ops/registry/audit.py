"""Who changed a registry entry, when and why: kept where the truth is, in MLflow's registry."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from mlflow import MlflowClient

from ops.registry.tags import tag_json

__all__ = ["Action", "AuditEntry", "actor", "append", "champions", "entries"]

Action = Literal["promote", "accept_without_metrics", "refuse", "rollback", "force_rollback"]
"""``accept_without_metrics`` is a promotion and ``force_rollback`` a rollback that a person has
answered for, where the gate, or the trail, did not."""

PREFIX = "coti.audit."
_LONGEST = 1000
"""Characters of a sentence; a tag's value takes 5,000."""


@dataclass(frozen=True)
class AuditEntry:
    """One change, or an attempt at one."""

    time: str
    """UTC, ISO 8601."""
    action: Action
    version: int
    previous: int | None
    """The champion before."""
    who: str
    why: str
    verdict: str


def actor() -> str:
    """Who acts: ``COTI_ACTOR``, the CI's actor, or the user on this machine."""
    for name in ("COTI_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        if os.environ.get(name):
            return os.environ[name]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def entries(client: MlflowClient, name: str) -> list[AuditEntry]:
    """All changes of a registered model, oldest first.

    Raises:
        RegistryError: a line is damaged.
    """
    model = client.get_registered_model(name)
    lines = sorted(key for key in model.tags if key.startswith(PREFIX))
    return [tag_json(model, key, _entry) for key in lines]


def champions(trail: Sequence[AuditEntry]) -> list[int]:
    """The versions that were made champion, each time anew, oldest first; a refused one is none."""
    return [entry.version for entry in trail if entry.action != "refuse"]


def _entry(values: Any) -> AuditEntry:
    entry = AuditEntry(**values)
    for number in (entry.version, entry.previous or 0):
        if type(number) is not int:
            raise ValueError(f"{number!r} is no version")
    return entry


def append(
    client: MlflowClient,
    name: str,
    *,
    action: Action,
    version: int,
    previous: int | None,
    who: str,
    why: str,
    verdict: str,
) -> None:
    """Add a line; the caller holds the lease, so that two lines can't get the same number.

    It is written before the alias moves: whoever is killed between the two finds the line again,
    and writes no second one. A refusal is written each time.
    """
    trail = entries(client, name)
    if trail and action != "refuse":
        last = trail[-1]
        if (last.action, last.version, last.previous) == (action, version, previous):
            return
    entry = AuditEntry(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        action=action,
        version=version,
        previous=previous,
        who=who,
        why=why[:_LONGEST],
        verdict=verdict[:_LONGEST],
    )
    value = json.dumps(asdict(entry), ensure_ascii=False)
    client.set_registered_model_tag(name, f"{PREFIX}{len(trail) + 1:06d}", value)
