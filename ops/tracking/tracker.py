"""An MLflow, and where the files of its experiments lie: decided here alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

__all__ = ["Tracker", "equals", "is_absence", "run_with", "slug", "tag_is"]

_LOCAL = "sqlite:///"
_LONGEST = 100
"""Characters of a name before its hash."""


def slug(name: str) -> str:
    """A concept's name as a registry and a file system take it; two concepts never share one.

    Lower-case words of ASCII letters and digits are joined by hyphens. Any other name has a hash.

    >>> slug("ankle boot"), slug("Ankle-Boot!")
    ('ankle-boot', 'ankle-boot--3093450505cb')
    """
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())
    plain = "-".join(part for part in kept.split("-") if part)[:_LONGEST].strip("-")
    if plain and plain.replace("-", " ") == name:
        return plain
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain or 'concept'}--{digest[:12]}"


def equals(field: str, value: str) -> str:
    """MLflow's filter for a field of this value, whatever is in it: the one place that quotes.

    Of values with both kinds of quotes, or a backslash at the end, it lets others through that are
    hardly different: compare what is found.

    >>> equals("name", "ankle-boot"), equals("name", "o'neil")
    ("name = 'ankle-boot'", 'name = "o\'neil"')
    """
    for quote in "'\"":
        if quote not in value and not value.endswith("\\"):
            return f"{field} = {quote}{value}{quote}"
    # MLflow knows no way to write these: any character stands for what would end the text.
    anything = value.replace('"', "_").replace("\\", "_")
    return f'{field} LIKE "{anything}"'


def tag_is(key: str, value: str) -> str:
    """MLflow's filter for runs with a tag of this value; as :func:`equals`."""
    return equals(f"tags.`{key}`", value)


def run_with(
    client: MlflowClient, experiments: Sequence[str], tags: Mapping[str, str]
) -> Run | None:
    """The newest run of these experiments, by their ids, that has all of these tags."""
    query = " and ".join(tag_is(key, value) for key, value in tags.items())
    runs = client.search_runs(list(experiments), query)
    return next((run for run in runs if tags.items() <= run.data.tags.items()), None)


def is_absence(error: MlflowException) -> bool:
    """Whether MLflow says that there is no such thing, and not that it can't be asked."""
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")


@dataclass(frozen=True)
class Tracker:
    """A server or a local database, beside the artifact store of its stack."""

    uri: str
    artifact_store: str
    """Path or ``s3://`` address."""

    @cached_property
    def client(self) -> MlflowClient:
        """Reads and writes it."""
        return MlflowClient(tracking_uri=self.uri)

    def experiment(self, name: str) -> str:
        """The id of an experiment; made where there is none yet.

        Its files have the same place whoever opens it first: a run, a sweep or an evaluation.
        """
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(
                    self.client.create_experiment(
                        name, artifact_location=self._artifact_location(name)
                    )
                )
            except MlflowException:
                # Somebody else made it in between.
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _artifact_location(self, name: str) -> str | None:
        """A local database's: the stack's bucket, or a folder beside it. A server knows its own."""
        if not self.uri.startswith(_LOCAL):
            return None
        if self.artifact_store.startswith("s3://"):
            return f"{self.artifact_store}/mlflow/{slug(name)}"
        folder = Path(self.uri.removeprefix(_LOCAL)).parent / "mlflow-artifacts"
        return (folder / slug(name)).as_uri()
