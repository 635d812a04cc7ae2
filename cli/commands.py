"""What this repository adds to the ``coti`` command: its own commands, the registry, tracking."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from coti.commands.project import EmbeddingSource, Project
from coti.core.errors import RegistryError
from ops.quiet import ROOT, log_file, quiet_terminal
from ops.stack.locations import locate

if TYPE_CHECKING:
    from ops.registry.embedding_registry import EmbeddingRegistry
    from ops.tracking.tracked_embeddings import TrackedEmbedding
    from ops.tracking.tracker import Tracker

__all__ = ["ZenMLProject"]


class ZenMLProject(Project):
    """The commands as the repository's environment has them."""

    root = ROOT
    commands = {  # noqa: RUF012
        "check": ("cli.check_run", "check"),
        "regimes": ("cli.regimes", "regimes"),
        "rehearse": ("cli.rehearse", "rehearse"),
        "registry": ("cli.registry_commands", "registry"),
        "retrain": ("cli.retrain", "retrain"),
        "runs": ("cli.runs", "runs"),
        "stack": ("cli.stack", "stack"),
        "studio": ("cli.studio", "studio"),
        "ui": ("cli.ui", "ui"),
    }
    tracks = True
    has_pipeline = True

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
            from ops.tracking.active_tracker import active_tracker

            return MlflowTracking(active_tracker())

    def run_pipeline(self, run_file: Path | None, changes: Sequence[str]) -> NoReturn:
        """``zenml pipeline run coti_concept``, with the changes in a run file of its own."""
        from ops.zenml_command import kept_run_file, run_instead

        if changes:
            run_file = kept_run_file(run_file or ROOT / "configs" / "quickstart.yaml", changes)
        run_instead("coti_concept", run_file)

    def explain(self, error: Exception) -> str | None:
        """Also what a store, a server or a full disk means; the traceback goes to the log."""
        from ops.terminal import user_sentence

        said = user_sentence(error, mid_run=False) or super().explain(error)
        if said is not None and log_file() is not None:
            logging.getLogger("coti").error("the command ended with this:", exc_info=error)
        return said


class MlflowTracking:
    """The registry and the runs of one MLflow server or file."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def version(self, concept: str, which: str) -> EmbeddingSource:
        """The embedding of a version, by its number or alias."""
        entry = self._entry(concept)
        return _source(entry.embedding(entry.version(which)))

    def versions(self, concept: str) -> list[EmbeddingSource]:
        """All versions of a concept, the oldest first."""
        entry = self._entry(concept)
        return [_source(entry.embedding(version)) for version in entry.versions()]

    def cycles(self, run_id: str) -> list[EmbeddingSource]:
        """What each cycle of a training run learned, the first cycle first."""
        from ops.tracking.tracked_embeddings import cycle_embedding, cycle_runs

        client = self._tracker.client
        return [_source(cycle_embedding(client, run)) for run in cycle_runs(client, run_id)]

    def run_of(self, name: str) -> str | None:
        """The id of the training run that a pipeline run's name stands for, if it is known."""
        from ops.tracking.tracked_embeddings import parent_run

        return parent_run(self._tracker.client, name)

    def run_folder(self, concept: str) -> Path:
        """The folder of the run that made a concept's champion.

        Raises:
            RegistryError: there is no champion, or its run's folder is gone.
        """
        from ops.registry.embedding_registry import CHAMPION
        from ops.tracking.run_folders import folder_of

        run = self.version(concept, CHAMPION).run
        found = run and folder_of(run)
        if found:
            return found
        raise RegistryError(
            f"The run of the champion of {concept!r} has no folder in outputs any more: give the "
            "folder of a run, or curate again."
        )

    def require_experiment(self, concept: str) -> None:
        """Before anything is measured: the concept's experiment takes an evaluation."""
        from ops.preconditions import require_experiments

        require_experiments([concept])

    def record_evaluation(
        self,
        concept: str,
        rows: Sequence[Mapping[str, Any]],
        params: Mapping[str, Any],
        files: Sequence[Path],
    ) -> str:
        """Keep an evaluation in the concept's experiment; returns its run's id."""
        from ops.tracking.evaluation_record import record_evaluation

        return record_evaluation(self._tracker, concept, rows, params, files)

    def record_ranking(
        self,
        concept: str,
        rows: Sequence[Mapping[str, Any]],
        params: Mapping[str, Any],
        files: Sequence[Path],
    ) -> str:
        """Keep a ranking in the concept's experiment; returns its run's id."""
        from ops.tracking.ranking_record import record_ranking

        return record_ranking(self._tracker, concept, rows, params, files)

    def _entry(self, concept: str) -> EmbeddingRegistry:
        from ops.registry.embedding_registry import EmbeddingRegistry

        return EmbeddingRegistry.find(self._tracker.client, concept)


def _source(found: TrackedEmbedding) -> EmbeddingSource:
    return EmbeddingSource(found.embedding, found.label, found.run_id)
