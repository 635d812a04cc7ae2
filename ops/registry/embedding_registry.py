"""The registry of embeddings: MLflow's is the source of truth.

One registered model a concept. Every best embedding of a run is a version with alias
``challenger``; ``champion`` goes through the gate of :mod:`ops.registry.gate` alone, held by a
lease and written down in the audit trail. :mod:`ops.registry.zenml_mirror` follows.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from coti.core.errors import RegistryError
from coti.inversion.safety import Vocabulary, inspect_embedding
from coti.settings import PromotionSettings
from ops.registry.audit import Action, actor, append, entries
from ops.registry.gate import Verdict, judge_promotion
from ops.registry.lease import lease
from ops.tracking.mlflow_record import slug

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "FILE",
    "GATE_TAG",
    "METRICS_TAG",
    "VERDICT_TAG",
    "VOCABULARY_TAG",
    "Registry",
    "registered_names",
]

METRICS_TAG = "coti.metrics"
GATE_TAG = "coti.promotion"
"""The gate of the version's own run file, as JSON."""
KEY_TAG = "coti.embedding_key"
VOCABULARY_TAG = "coti.vocabulary"
VERDICT_TAG = "coti.verdict"
CHALLENGER, CHAMPION = "challenger", "champion"
FILE = "learned_embeds.safetensors"

Lock = Callable[[str, str, float], AbstractContextManager[Callable[[], None]]]


@dataclass
class Registry:
    """The versions of one concept."""

    client: MlflowClient
    name: str
    locked: Lock = lease
    """Holds the entry; takes its name, who holds it, and how many seconds to wait."""

    @classmethod
    def of(cls, tracking_uri: str, concept: str) -> Registry:
        """The registry entry of a concept; made where there is none yet."""
        client, name = MlflowClient(tracking_uri=tracking_uri), slug(concept)
        try:
            client.get_registered_model(name)
        except MlflowException:
            try:
                client.create_registered_model(
                    name, description=f"Textual inversion of {concept!r}."
                )
            except MlflowException:
                # Somebody else made it in between.
                client.get_registered_model(name)
        return cls(client, name)

    @classmethod
    def find(cls, tracking_uri: str, concept: str) -> Registry:
        """The registry entry of a concept.

        Raises:
            RegistryError: there is none.
        """
        client, name = MlflowClient(tracking_uri=tracking_uri), slug(concept)
        try:
            client.get_registered_model(name)
        except MlflowException as error:
            if not _is_absence(error):
                raise
            raise RegistryError(
                f"no concept {concept!r} is registered; `coti registry list` shows those that are."
            ) from error
        return cls(client, name)

    def versions(self) -> list[ModelVersion]:
        """All versions, newest first."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return sorted(found, key=lambda each: -int(each.version))

    def version(self, which: str) -> ModelVersion:
        """A version by number or alias.

        Raises:
            RegistryError: there is none.
        """
        try:
            if which.isdigit():
                return self.client.get_model_version(self.name, which)
            return self.client.get_model_version_by_alias(self.name, which)
        except MlflowException as error:
            if not _is_absence(error):
                raise
            known = ", ".join(str(each.version) for each in self.versions()) or "none"
            raise RegistryError(
                f"{self.name!r} has no version {which!r}: there are {known}."
            ) from error

    def version_of(self, key: str) -> ModelVersion | None:
        """The version that was registered for the same embedding before, if any."""
        return next((each for each in self.versions() if each.tags.get(KEY_TAG) == key), None)

    def champion(self) -> ModelVersion | None:
        """The present champion."""
        return self._alias(CHAMPION)

    def aliases(self, version: ModelVersion) -> list[str]:
        """The version's aliases, now; MLflow's search does not fill them in."""
        held = self.client.get_registered_model(self.name).aliases
        return sorted(name for name, number in held.items() if int(number) == int(version.version))

    def _alias(self, alias: str) -> ModelVersion | None:
        try:
            return self.client.get_model_version_by_alias(self.name, alias)
        except MlflowException as error:
            # A server that does not answer says nothing about who is the champion.
            if not _is_absence(error):
                raise
            return None

    def register(
        self,
        source: str,
        run_id: str,
        key: str,
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
            metrics: of the judge.
            tags: further ones.
            seconds: how long to wait for somebody else's change of the entry to end.

        Raises:
            RegistryError: somebody else holds the entry for longer.
        """
        with self.locked(self.name, actor(), seconds) as still_mine:
            version = self.version_of(key)
            still_mine()
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

    def download(self, version: ModelVersion, folder: Path) -> Path:
        """Copy a version's embedding file into ``folder``.

        Raises:
            RegistryError: the artifact store does not give it.
        """
        from mlflow.artifacts import download_artifacts

        try:
            found = download_artifacts(
                artifact_uri=f"{version.source}/{FILE}",
                dst_path=str(folder),
                tracking_uri=self.client._tracking_client.tracking_uri,
            )
        except Exception as error:
            raise RegistryError(
                f"the file of {self.name} version {version.version} cannot be read "
                f"({' '.join(str(error).split())[:160]}): `coti stack check` says why."
            ) from error
        return Path(found)

    def faults(self, version: ModelVersion) -> list[str]:
        """What is wrong with the registered file itself, a sentence each."""
        tag = version.tags.get(VOCABULARY_TAG)
        with TemporaryDirectory(prefix="coti-") as folder:
            path = self.download(version, Path(folder))
            return inspect_embedding(path, Vocabulary.from_json(tag) if tag else None)

    def promote(
        self,
        version: ModelVersion,
        settings: PromotionSettings,
        why: str = "the best cycle of a run",
        seconds: float = 30.0,
        keep_gate: bool = True,
    ) -> Verdict:
        """Make a version the champion if the gate lets it pass; held by a lease meanwhile.

        Args:
            version: the challenger.
            settings: the gate's margins and floors.
            why: for the audit trail.
            seconds: how long to wait for somebody else's promotion to end.
            keep_gate: the settings are of the version's own run file and stay with it, for
                :meth:`gate`; else they hold this once.

        Raises:
            RegistryError: somebody else is promoting, or the file cannot be read.
        """
        who = actor()
        with self.locked(self.name, who, seconds) as still_mine:
            if keep_gate:
                self._keep_gate(version, settings)
            if self._is(version, CHAMPION):
                self._crown(version)  # whoever was killed while crowning it left it both aliases
                return Verdict(True, f"version {version.version} is the champion already.")
            champion = self.champion()
            faults = self.faults(version)
            if faults:
                verdict = Verdict(False, f"not promoted: {faults[0]}.")
            else:
                verdict = judge_promotion(
                    json.loads(version.tags[METRICS_TAG]),
                    None if champion is None else json.loads(champion.tags[METRICS_TAG]),
                    settings,
                )
            still_mine()
            self.client.set_model_version_tag(
                self.name, version.version, VERDICT_TAG, verdict.reason
            )
            action: Action = "promote" if verdict.promoted else "refuse"
            self._write_down(action, version, champion, who, why, verdict.reason)
            if verdict.promoted:
                self._crown(version)
            return verdict

    def gate(self, version: ModelVersion) -> PromotionSettings | None:
        """The gate of the version's own run file; None for one registered without.

        Raises:
            RegistryError: what is kept with the version is no gate of this release.
        """
        kept = version.tags.get(GATE_TAG)
        if kept is None:
            return None
        try:
            return PromotionSettings(**json.loads(kept))
        except (TypeError, ValueError) as error:
            raise RegistryError(
                f"the gate kept with {self.name} version {version.version} cannot be read "
                f"({error}): name the concept's run file with -c."
            ) from error

    def _keep_gate(self, version: ModelVersion, settings: PromotionSettings) -> None:
        """Also of a version that was there before: its run file's gate may have changed."""
        gate = json.dumps(dataclasses.asdict(settings), sort_keys=True)
        if version.tags.get(GATE_TAG) != gate:
            self.client.set_model_version_tag(self.name, version.version, GATE_TAG, gate)

    def rollback(self, to: str | None, why: str, seconds: float = 30.0) -> ModelVersion:
        """Make an earlier version the champion again; its file is looked at, no metric is.

        Args:
            to: a version's number; without it, the champion before the present one.
            why: for the audit trail.
            seconds: how long to wait for somebody else's promotion to end.

        Raises:
            RegistryError: there is no such version, its file is not sound, or somebody else is
                promoting.
        """
        who = actor()
        with self.locked(self.name, who, seconds) as still_mine:
            champion = self.champion()
            target = self.version(to or str(self._before(champion)))
            if self._is(target, CHAMPION):
                raise RegistryError(f"version {target.version} is the champion already.")
            faults = self.faults(target)
            if faults:
                raise RegistryError(f"version {target.version} cannot be restored: {faults[0]}.")
            still_mine()
            said = f"version {target.version} is the champion again."
            self._write_down("rollback", target, champion, who, why, said)
            self._crown(target)
            return target

    def _before(self, champion: ModelVersion | None) -> int:
        """The champion before the present one, by the audit trail; what was rolled back is none."""
        line: list[int] = []
        for entry in entries(self.client, self.name):
            if entry.action == "rollback" and entry.version in line:
                del line[line.index(entry.version) + 1 :]
            elif entry.action in ("promote", "rollback"):
                if not line and entry.previous is not None:
                    line.append(entry.previous)
                line.append(entry.version)
        present = None if champion is None else int(champion.version)
        for before, after in reversed(list(itertools.pairwise(line))):
            if after == present:
                return before
        raise RegistryError(
            f"{self.name!r} had no champion before the present one; name a version with --to."
        )

    def _write_down(
        self,
        action: Action,
        version: ModelVersion,
        champion: ModelVersion | None,
        who: str,
        why: str,
        reason: str,
    ) -> None:
        """A line in the audit trail, before the alias moves.

        Whoever is killed between the two finds the line again and writes no second one.
        """
        number = int(version.version)
        previous = None if champion is None else int(champion.version)
        trail = entries(self.client, self.name)
        if action != "refuse" and trail:
            last = trail[-1]
            if (last.action, last.version, last.previous) == (action, number, previous):
                return
        append(self.client, self.name, action, number, previous, who, why, reason)

    def _crown(self, version: ModelVersion) -> None:
        self.client.set_registered_model_alias(self.name, CHAMPION, version.version)
        if self._is(version, CHALLENGER):
            self.client.delete_registered_model_alias(self.name, CHALLENGER)


def _is_absence(error: MlflowException) -> bool:
    """Whether MLflow says that there is no such thing, and not that it can't be asked."""
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")


def registered_names(client: MlflowClient) -> list[str]:
    """The names of all registered models, whoever registered them."""
    names: list[str] = []
    token = None
    while True:
        page = client.search_registered_models(page_token=token)
        names += [each.name for each in page]
        token = page.token
        if not token:
            return names
