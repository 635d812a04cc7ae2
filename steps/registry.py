"""The registry of embeddings: MLflow's is the source of truth, ZenML's model control plane mirrors.

One registered model a concept. Every best embedding of a run is a version with alias
``challenger``; ``champion`` goes through the gate of :mod:`coti.promotion` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from coti.errors import RegistryError
from coti.promotion import Verdict, judge_promotion
from coti.settings import PromotionSettings
from steps.mlflow_record import slug
from steps.paths import ROOT

__all__ = ["Registry", "lease"]

METRICS_TAG = "coti.metrics"
KEY_TAG = "coti.embedding_key"
CHALLENGER, CHAMPION = "challenger", "champion"


@contextmanager
def lease(name: str, seconds: float = 30.0) -> Iterator[None]:
    """Hold a concept's registry entry: MLflow's aliases know no compare-and-swap.

    Raises:
        RegistryError: somebody else holds it for longer than ``seconds``.
    """
    folder = ROOT / ".coti" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=seconds):
            yield
    except Timeout as error:
        raise RegistryError(
            f"another promotion of {name!r} is under way; try again when it has ended."
        ) from error


@dataclass
class Registry:
    """The versions of one concept."""

    client: MlflowClient
    name: str

    @classmethod
    def of(cls, tracking_uri: str, concept: str) -> Registry:
        """The registry entry of a concept; made where there is none yet."""
        client, name = MlflowClient(tracking_uri=tracking_uri), slug(concept)
        try:
            client.get_registered_model(name)
        except MlflowException:
            client.create_registered_model(name, description=f"Textual inversion of {concept!r}.")
        return cls(client, name)

    def version_of(self, key: str) -> ModelVersion | None:
        """The version that was registered for the same embedding before, if any."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return next((each for each in found if each.tags.get(KEY_TAG) == key), None)

    def champion(self) -> ModelVersion | None:
        """The present champion."""
        return self._alias(CHAMPION)

    def _alias(self, alias: str) -> ModelVersion | None:
        try:
            return self.client.get_model_version_by_alias(self.name, alias)
        except MlflowException:
            return None

    def register(
        self,
        source: str,
        run_id: str,
        key: str,
        metrics: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> ModelVersion:
        """Register an embedding as a new version with alias ``challenger``.

        The same embedding is registered once: a second identical run finds its version again.
        """
        version = self.version_of(key)
        if version is None:
            version = self.client.create_model_version(
                self.name,
                source,
                run_id,
                tags={KEY_TAG: key, METRICS_TAG: json.dumps(dict(metrics)), **tags},
            )
        if not self._is(version, CHAMPION):
            self.client.set_registered_model_alias(self.name, CHALLENGER, version.version)
        return version

    def _is(self, version: ModelVersion, alias: str) -> bool:
        holder = self._alias(alias)
        return holder is not None and int(holder.version) == int(version.version)

    def promote(self, version: ModelVersion, settings: PromotionSettings) -> Verdict:
        """Make a version the champion if the gate lets it pass; held by a lease meanwhile."""
        with lease(self.name):
            if self._is(version, CHAMPION):
                return Verdict(True, f"version {version.version} is the champion already.")
            champion = self.champion()
            verdict = judge_promotion(
                json.loads(version.tags[METRICS_TAG]),
                None if champion is None else json.loads(champion.tags[METRICS_TAG]),
                settings,
            )
            if verdict.promoted:
                self.client.set_registered_model_alias(self.name, CHAMPION, version.version)
                if self._is(version, CHALLENGER):
                    self.client.delete_registered_model_alias(self.name, CHALLENGER)
            self.client.set_model_version_tag(
                self.name, version.version, "coti.verdict", verdict.reason
            )
            return verdict


def mirror_to_zenml(name: str, version: str, promoted: bool, metadata: dict[str, Any]) -> None:
    """Keep ZenML's model control plane in step: ``staging`` is the challenger, else production."""
    from zenml.client import Client
    from zenml.enums import ModelStages

    client = Client()
    try:
        model = client.get_model(name)
    except KeyError:
        model = client.create_model(name)
    number = f"mlflow-{version}"
    try:
        entry = client.get_model_version(model.id, number)
    except KeyError:
        entry = client.create_model_version(model.id, name=number)
    stage = ModelStages.PRODUCTION if promoted else ModelStages.STAGING
    if entry.stage != stage.value:
        client.update_model_version(
            model_name_or_id=model.id, version_name_or_id=entry.id, stage=stage.value, force=True
        )


def local_path(source: str) -> Path:
    """Where a locally stored version's file lies."""
    return Path(source.removeprefix("file://"))
