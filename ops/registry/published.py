"""Reading what was registered and tracked: versions of a concept, cycles of a run.

Nothing here writes: :mod:`ops.registry.embedding_registry` and
:mod:`ops.tracking.mlflow_record` do.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from coti.core.errors import RegistryError
from coti.inversion.adapters.embedding import Embedding
from ops.registry.embedding_registry import registered_names
from ops.tracking.mlflow_record import CYCLE_TAG, PARENT_TAG, slug, tag_is

__all__ = ["Published", "PublishedWord"]

_EMBEDDING = "embedding/learned_embeds.safetensors"


@dataclass(frozen=True)
class PublishedWord:
    """A learned word and where it was found."""

    label: str
    """For people: ``ankle-boot v3 (champion)``, ``cycle 2``."""
    embedding: Embedding
    run_id: str
    """MLflow's id of the training run: the parent's for a version, the nested one's for a cycle."""


@dataclass(frozen=True)
class Published:
    """The registry and the runs of one MLflow server or file."""

    client: MlflowClient
    tracking_uri: str

    @classmethod
    def at(cls, tracking_uri: str) -> Published:
        """The registry behind a tracking URI."""
        return cls(MlflowClient(tracking_uri=tracking_uri), tracking_uri)

    def concepts(self) -> list[str]:
        """Registered names, sorted."""
        return sorted(registered_names(self.client))

    def versions(self, concept: str) -> list[ModelVersion]:
        """A concept's versions, the oldest first; with their aliases.

        Raises:
            RegistryError: there is no such concept, or none of it is registered.
        """
        name = self._known(concept)
        rows = self.client.search_model_versions(f"name = '{name}'")
        if not rows:
            raise RegistryError(f"{concept!r} has no version yet: run the pipeline for it first.")
        # A search leaves out the aliases, a look-up by number gives them.
        numbers = sorted(int(row.version) for row in rows)
        return [self.client.get_model_version(name, str(number)) for number in numbers]

    def find(self, concept: str, which: str = "champion") -> PublishedWord:
        """The word of a version by number or alias.

        Raises:
            RegistryError: no such concept, version or alias, or its file cannot be fetched.
        """
        name = self._known(concept)
        try:
            if which.isdigit():
                version = self.client.get_model_version(name, which)
            else:
                version = self.client.get_model_version_by_alias(name, which)
        except MlflowException as error:
            there = ", ".join(
                f"{each.version}{''.join(f' ({alias})' for alias in each.aliases)}"
                for each in self.versions(concept)
            )
            kind = "version" if which.isdigit() else "alias"
            raise RegistryError(
                f"{concept!r} has no {kind} {which!r}; there are the versions {there}: name one as "
                f"{concept}@NUMBER or {concept}@ALIAS."
            ) from error
        return self.word_of(version)

    def word_of(self, version: ModelVersion) -> PublishedWord:
        """The word that a version names."""
        aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
        label = f"{version.name} v{version.version}{aliases}"
        address = f"{str(version.source).rstrip('/')}/learned_embeds.safetensors"
        return PublishedWord(label, self._load(address, label), str(version.run_id))

    def run_of(self, name: str) -> str | None:
        """MLflow's id of the parent run of a pipeline run by that run's name, if it is known."""
        experiments = [each.experiment_id for each in self.client.search_experiments()]
        query = f"{tag_is(PARENT_TAG, name)} and {tag_is(CYCLE_TAG, 'parent')}"
        runs = self.client.search_runs(experiments, query, max_results=1)
        return str(runs[0].info.run_id) if runs else None

    def cycles(self, run_id: str) -> list[PublishedWord]:
        """The words of a run's cycles, the first cycle first.

        Raises:
            RegistryError: the run is unknown, or no cycle of it is recorded.
        """
        words = []
        for run in self.cycle_runs(run_id):
            label = f"cycle {run.data.tags[CYCLE_TAG]}"
            address = f"{run.info.artifact_uri}/{_EMBEDDING}"
            words.append(PublishedWord(label, self._load(address, label), run.info.run_id))
        return words

    def cycle_runs(self, run_id: str) -> list[Any]:
        """MLflow's nested runs of a run's cycles, the first first."""
        try:
            parent = self.client.get_run(run_id)
        except MlflowException as error:
            raise RegistryError(
                f"MLflow knows no run {run_id!r}; look it up in `coti ui`."
            ) from error
        query = f"tags.`mlflow.parentRunId` = '{run_id}'"
        found = self.client.search_runs([parent.info.experiment_id], query)
        nested = [run for run in found if run.data.tags.get(CYCLE_TAG, "").isdigit()]
        if not nested:
            raise RegistryError(
                f"MLflow has no cycle of the run {run_id}: it ended before its first."
            )
        return sorted(nested, key=lambda run: int(run.data.tags[CYCLE_TAG]))

    def _known(self, concept: str) -> str:
        """The registered name of a concept."""
        name = slug(concept)
        try:
            self.client.get_registered_model(name)
        except MlflowException as error:
            names = ", ".join(self.concepts()) or "none yet"
            raise RegistryError(
                f"The registry has no concept {concept!r} (registered: {names}); run the pipeline "
                "for it, or give --embedding FILE."
            ) from error
        return name

    def _load(self, address: str, label: str) -> Embedding:
        """The embedding at an artifact address."""
        with tempfile.TemporaryDirectory(prefix="coti-") as folder:
            try:
                path = mlflow.artifacts.download_artifacts(
                    artifact_uri=address, dst_path=folder, tracking_uri=self.tracking_uri
                )
            except Exception as error:  # artifact stores raise their own
                raise RegistryError(
                    f"The embedding of {label} cannot be fetched from {address}: "
                    f"{str(error).splitlines()[0]}. Is the artifact store reachable?"
                ) from error
            return Embedding.load(Path(path))
