"""The registry of embeddings: MLflow's is the source of truth.

One registered model a concept. Every best embedding of a run is a version with alias
``challenger``; ``champion`` is given by :mod:`ops.registry.promotion` alone.
:mod:`ops.registry.zenml_mirror` follows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from coti.core.errors import RegistryError
from coti.core.whole_files import temporary_folder
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.safety import Vocabulary, inspect_embedding
from coti.metrics.table import METRICS
from ops.registry.audit import actor
from ops.registry.gate import COUNTS
from ops.registry.lease import lease
from ops.registry.tags import tag_json
from ops.registry.zenml_champion import mirrored_champion
from ops.tracking.mlflow_record import SHA256_TAG
from ops.tracking.tracked_embeddings import TrackedEmbedding, altered, fetch_file
from ops.tracking.tracker import equals, is_absence, slug

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "METRICS_TAG",
    "PROPERTY_TAG",
    "VOCABULARY_TAG",
    "EmbeddingRegistry",
    "metrics_of",
    "registered_concepts",
]

METRICS_TAG = "coti.metrics"
KEY_TAG = "coti.embedding_key"
PROPERTY_TAG = "coti.learnable_property"
VOCABULARY_TAG = "coti.vocabulary"
CHALLENGER, CHAMPION = "challenger", "champion"
_OURS = f"tag.`{METRICS_TAG}` LIKE '%'"
"""MLflow's filter that leaves out other people's models."""
_MOST = 200_000
"""Versions an answer; MLflow gives no more."""

Lock = Callable[[str, str, float], AbstractContextManager[Callable[[], None]]]


@dataclass
class EmbeddingRegistry:
    """The versions of one concept; the entry is made with the first."""

    client: MlflowClient
    concept: str
    locked: Lock = lease
    """Holds the entry; takes its name, who holds it, and how many seconds to wait."""
    name: str = ""
    """What MLflow calls the entry; by the concept, where it is not given."""
    remembered: Callable[[str], str | None] = mirrored_champion
    """The champion of the entry of this name as it is known beside MLflow."""

    def __post_init__(self) -> None:
        self.name = self.name or slug(self.concept)

    @classmethod
    def find(cls, client: MlflowClient, concept: str) -> EmbeddingRegistry:
        """The entry of a concept that is registered, by the concept's name or the entry's own.

        Raises:
            RegistryError: it is not.
        """
        for name in (slug(concept), concept):
            entry = cls(client, concept, name=name)
            if entry.versions():
                return entry
        there = ", ".join(registered_concepts(client)) or "none yet"
        raise RegistryError(
            f"the registry has no concept {concept!r} (registered: {there}): name one of "
            "these, or run the pipeline for it."
        )

    def versions(self) -> list[ModelVersion]:
        """All versions, the oldest first; MLflow fills in no aliases here."""
        query = f"{equals('name', self.name)} and {_OURS}"
        found = self.client.search_model_versions(query, _MOST)
        own = (each for each in found if each.name == self.name)
        return sorted(own, key=lambda each: int(each.version))

    def version(self, which: str) -> ModelVersion:
        """A version by number or alias.

        Raises:
            RegistryError: there is none.
        """
        found = self._asked(which)
        if found is None:
            there = ", ".join(map(self._said, self.versions())) or "none"
            kind = "version" if which.isdigit() else "alias"
            raise RegistryError(
                f"{self.name!r} has no {kind} {which!r}; there are the versions {there}. One of "
                "these is asked for by its alias or number, in `coti generate` after an @: "
                f"{self.name}@challenger."
            )
        return found

    def champion(self) -> ModelVersion | None:
        """The present champion."""
        return self._asked(CHAMPION)

    def vanished(self) -> str | None:
        """The champion that is known beside MLflow, where MLflow's registry has none."""
        return None if self.champion() is not None else self.remembered(self.name)

    def aliases(self, version: ModelVersion) -> list[str]:
        """The version's aliases, now."""
        held = self.client.get_registered_model(self.name).aliases
        return sorted(name for name, number in held.items() if int(number) == int(version.version))

    def has_alias(self, version: ModelVersion, alias: str) -> bool:
        """Whether the alias is the version's, now."""
        holder = self._asked(alias)
        return holder is not None and int(holder.version) == int(version.version)

    def embedding(self, version: ModelVersion) -> TrackedEmbedding:
        """A version's embedding.

        Raises:
            RegistryError: the artifact store does not give it, or gives another.
        """
        label = f"{self.name} v{self._said(version)}"
        with temporary_folder() as folder:
            embedding = Embedding.load(self.download(version, folder))
        return TrackedEmbedding(label, embedding, str(version.run_id))

    def download(self, version: ModelVersion, folder: Path) -> Path:
        """Copy a version's embedding file into ``folder``.

        Raises:
            RegistryError: the artifact store does not give it, or gives another than was measured.
        """
        path = self._fetched(version, folder)
        if (said := altered(path, version.tags.get(SHA256_TAG))) is not None:
            raise RegistryError(f"{self.name} version {version.version}: {said}.")
        return path

    def _fetched(self, version: ModelVersion, folder: Path) -> Path:
        label = f"{self.name} v{self._said(version)}"
        return fetch_file(self.client, str(version.source), label, folder)

    def faults(self, version: ModelVersion) -> list[str]:
        """What is wrong with the registered file itself, a sentence each.

        Raises:
            RegistryError: the artifact store does not give it, or the version's tags are damaged.
        """
        known = VOCABULARY_TAG in version.tags
        vocabulary = tag_json(version, VOCABULARY_TAG, Vocabulary.from_values) if known else None
        with temporary_folder() as folder:
            path = self._fetched(version, folder)
            said = altered(path, version.tags.get(SHA256_TAG))
            if said is not None:
                return [said]
            return inspect_embedding(path, vocabulary)

    def register(
        self,
        *,
        source: str,
        run_id: str,
        key: str,
        sha256: str,
        metrics: Mapping[str, Any],
        tags: Mapping[str, str],
        seconds: float = 30.0,
    ) -> ModelVersion:
        """Register an embedding as a new version with alias ``challenger``.

        The same embedding is registered once: a second identical run, at the same time or later,
        finds its version again.

        Args:
            source: the folder with the embedding's file.
            run_id: MLflow's run.
            key: says which embedding it is.
            sha256: of the embedding's file that was measured.
            metrics: of the judge.
            tags: further ones.
            seconds: how long to wait for somebody else's change of the entry to end.

        Raises:
            RegistryError: somebody else holds the entry for longer, or the file in the folder is
                not the one that was measured.
        """
        with temporary_folder() as folder:
            path = fetch_file(self.client, source, f"the new version of {self.name}", folder)
            if (said := altered(path, sha256)) is not None:
                raise RegistryError(f"nothing is registered: {said} ({source}).")
        with self.locked(self.name, actor(), seconds) as still_mine:
            version = self._version_of(key)
            still_mine()
            if version is None:
                self._make()
                version = self.client.create_model_version(
                    self.name,
                    source,
                    run_id,
                    tags={
                        KEY_TAG: key,
                        SHA256_TAG: sha256,
                        METRICS_TAG: json.dumps(dict(metrics)),
                        **tags,
                    },
                )
            if not self.has_alias(version, CHAMPION):
                self.client.set_registered_model_alias(self.name, CHALLENGER, version.version)
            return version

    def _version_of(self, key: str) -> ModelVersion | None:
        """The version that was registered for the same embedding before, if any."""
        return next((each for each in self.versions() if each.tags.get(KEY_TAG) == key), None)

    def _make(self) -> None:
        try:
            self.client.create_registered_model(
                self.name, description=f"Textual inversion of {self.concept!r}."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _asked(self, which: str) -> ModelVersion | None:
        """A version by number or alias, if there is one."""
        try:
            if which.isdigit():
                return self.client.get_model_version(self.name, which)
            return self.client.get_model_version_by_alias(self.name, which)
        except MlflowException as error:
            # Where MLflow has accounts it refuses a version of an entry that is not there.
            refused = error.error_code == "PERMISSION_DENIED"
            if not (is_absence(error) or (refused and not self._exists())):
                raise
            return None

    def _exists(self) -> bool:
        try:
            self.client.get_registered_model(self.name)
        except MlflowException as error:
            if not is_absence(error):
                raise
            return False
        return True

    def _said(self, version: ModelVersion) -> str:
        """A version's number, and its aliases if it has any."""
        aliases = ", ".join(self.aliases(version))
        return f"{version.version} ({aliases})" if aliases else f"{version.version}"


def metrics_of(version: ModelVersion | None) -> dict[str, Any]:
    """What the judge measured of a version; nothing for none.

    Raises:
        RegistryError: the version's tag is damaged.
    """
    if version is None or METRICS_TAG not in version.tags:
        return {}
    return tag_json(version, METRICS_TAG, _measured)


def _measured(values: Any) -> dict[str, Any]:
    for name, value in dict(values).items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not number and (name in METRICS or name in COUNTS):
            raise ValueError(f"{name} is {value!r}")
    return dict(values)


def registered_concepts(client: MlflowClient) -> list[str]:
    """The names of all entries with a version of ours, sorted."""
    return sorted({each.name for each in client.search_model_versions(_OURS, _MOST)})
