"""What this repository adds to the ``coti`` command: its own commands, the registry, tracking."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coti.commands.embedding_sources import EmbeddingSource
from coti.commands.project import Project
from ops.quiet import ROOT, log_file, quiet_terminal
from ops.stack.locations import locate

__all__ = ["ZenMLProject"]


class ZenMLProject(Project):
    """The commands as the repository's environment has them."""

    root = ROOT
    commands = {  # noqa: RUF012
        "registry": ("cli.registry", "registry"),
        "retrain": ("cli.retrain", "retrain"),
        "stack": ("cli.stack", "stack"),
        "studio": ("cli.studio", "studio"),
        "ui": ("cli.ui", "ui"),
    }
    tracks = True

    def start(self) -> None:
        """Empty ``ZENML_STORE_…`` variables go before ZenML is imported."""
        from cli.stack import unset_empty_store_variables

        unset_empty_store_variables()

    def quiet_terminal(self) -> None:
        """What libraries say goes to a log file."""
        quiet_terminal()

    def locate(self, name: str) -> str:
        """Relative names start at the repository's root."""
        return locate(name)

    def tracking(self) -> MlflowTracking:
        """MLflow, as the active stack tracks to it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries that ZenML imports
            from ops.tracking.active_tracker import tracking_uri

            return MlflowTracking(tracking_uri())

    def explain(self, error: Exception) -> str | None:
        """Also what a store, a server or a full disk means; the traceback goes to the log."""
        from ops.terminal import user_sentence

        said = user_sentence(error, mid_run=False) or super().explain(error)
        if said is not None and log_file() is not None:
            logging.getLogger("coti").error("the command ended with this:", exc_info=error)
        return said


class MlflowTracking:
    """The registry and the runs of one MLflow server or file."""

    def __init__(self, uri: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from ops.registry.published import Published
        self._uri, self._published = uri, Published.at(uri)

    def version(self, concept: str, which: str) -> EmbeddingSource:
        """The embedding of a version, by its number or alias."""
        return _source(self._published.find(concept, which))

    def versions(self, concept: str) -> list[EmbeddingSource]:
        """All versions of a concept, the oldest first."""
        found = self._published.versions(concept)
        return [_source(self._published.word_of(version)) for version in found]

    def cycles(self, run_id: str) -> list[EmbeddingSource]:
        """What each cycle of a training run learned, the first cycle first."""
        return [_source(each) for each in self._published.cycles(run_id)]

    def run_of(self, name: str) -> str | None:
        """The id of the training run that a pipeline run's name stands for, if it is known."""
        return self._published.run_of(name)

    def record_evaluation(
        self,
        concept: str,
        rows: Sequence[Mapping[str, Any]],
        params: Mapping[str, Any],
        files: Sequence[Path],
    ) -> str:
        """Keep an evaluation in the concept's experiment; returns its run's id."""
        from ops.tracking.evaluation_record import record_evaluation

        return record_evaluation(self._uri, concept, rows, params, files)


def _source(found: Any) -> EmbeddingSource:
    return EmbeddingSource(found.embedding, found.label, found.run_id)
