"""What the last version of a pool was like, so that the next one can be held against it."""

from __future__ import annotations

import json
from typing import Any

from zenml import log_metadata
from zenml.client import Client
from zenml.metadata.metadata_types import MetadataType

from coti.core.errors import StoreError

__all__ = ["ARTIFACT", "last_profile", "remember_profile"]

ARTIFACT = "validation_result"
"""The artifact whose metadata holds the profile."""
_SOURCE, _FINGERPRINT, _PROFILE = "coti_pool", "coti_pool_fingerprint", "coti_pool_profile"
_LOOKED_AT = 50
"""Versions looked at, newest first."""


def remember_profile(pool_source: dict[str, Any], profile: dict[str, float]) -> None:
    """Write the profile into the metadata of the running step's validation result."""
    said: dict[str, MetadataType] = {
        _SOURCE: str(pool_source["source"]),
        _FINGERPRINT: str(pool_source["fingerprint"]),
        _PROFILE: json.dumps(profile),
    }
    log_metadata(metadata=said, infer_artifact=True, artifact_name=ARTIFACT)


def last_profile(source: str, fingerprint: str) -> dict[str, float] | None:
    """The profile of the newest other version of the pool that was ingested; None for the first.

    An unchanged pool is held against the same version each time, so that its steps stay cached.

    Raises:
        StoreError: what was kept of it is damaged.
    """
    versions = Client().list_artifact_versions(
        artifact=ARTIFACT, sort_by="desc:created", size=_LOOKED_AT, hydrate=True
    )
    for version in versions.items:
        said = version.run_metadata
        if said.get(_SOURCE) == source and said.get(_FINGERPRINT) != fingerprint:
            try:
                profile = json.loads(str(said[_PROFILE]))
                return {name: float(value) for name, value in profile.items()}
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise StoreError(
                    f"what ZenML kept of an earlier version of the pool {source} is damaged: "
                    f"`zenml artifact version delete {version.id}`, then run again."
                ) from error
    return None
