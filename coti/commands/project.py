"""What the ZenML project adds to the command; installed alone, the wheel answers for itself."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import coti
from coti.commands.missing_extras import missing_extra
from coti.core.ending import system_sentence
from coti.core.errors import ConfigError, RegistryError

if TYPE_CHECKING:
    from coti.inversion.adapters.embedding import Embedding

__all__ = ["EmbeddingSource", "Project", "Tracking", "installed_alone", "project"]

_QUIET = {
    # Waiting threads sleep: spinning ones stall everything on a machine that others use, too.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


@dataclass(frozen=True)
class EmbeddingSource:
    """A learned embedding, and what is known of where it came from."""

    embedding: Embedding
    label: str
    run: str | None = None
    """MLflow's id of its training run, if it is registered."""
    folder: Path | None = None
    """The run's folder, or the folder of its file."""


class Tracking(Protocol):
    """The registry and the tracked runs, as the commands ask for them."""

    def version(self, concept: str, which: str) -> EmbeddingSource:
        """The embedding of a version, by its number or alias."""

    def versions(self, concept: str) -> list[EmbeddingSource]:
        """All versions of a concept, the oldest first."""

    def cycles(self, run_id: str) -> list[EmbeddingSource]:
        """What each cycle of a training run learned, the first cycle first."""

    def run_of(self, name: str) -> str | None:
        """The id of the training run that a pipeline run's name stands for, if it is known."""

    def run_folder(self, concept: str) -> Path:
        """The folder of the run that made a concept's champion."""

    def require_experiment(self, concept: str) -> None:
        """Before anything is measured: the concept's experiment takes an evaluation."""

    def record_evaluation(
        self,
        concept: str,
        rows: Sequence[Mapping[str, Any]],
        params: Mapping[str, Any],
        files: Sequence[Path],
    ) -> str:
        """Keep an evaluation; returns its run's id."""

    def record_ranking(
        self,
        concept: str,
        rows: Sequence[Mapping[str, Any]],
        params: Mapping[str, Any],
        files: Sequence[Path],
    ) -> str:
        """Keep a ranking, each checkpoint a logged model with its metrics; its run's id."""


class Project:
    """The wheel alone; the repository's ``cli.commands`` overrides what ZenML and MLflow can do."""

    root = Path()
    """Relative names that are not found where the user stands are looked for here."""
    commands: Mapping[str, tuple[str, str]] = {}
    """More commands: name -> module and object."""
    tracks = False
    """Whether an evaluation is kept without being asked for."""

    has_pipeline = False
    """Whether ``coti run`` can."""

    def start(self) -> None:
        """Before any command."""

    def quiet_terminal(self) -> None:
        """Keep what libraries log and warn of from the user's terminal."""
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        warnings.simplefilter("ignore")

    def locate(self, name: str) -> str:
        """Where a file or folder lies that a setting or an embedding names."""
        return os.path.expanduser(name)

    def tracking(self) -> Tracking:
        """The registry and the tracked runs.

        Raises:
            RegistryError: there are none, or they cannot be reached.
        """
        raise RegistryError(
            "The registry and tracked runs (--concept, --track, --compare cycles and versions) "
            f"belong to the ZenML project. {installed_alone()} Or give --embedding FILE."
        )

    def run_pipeline(self, run_file: Path | None, changes: Sequence[str]) -> NoReturn:
        """Run the main pipeline and end with its code.

        Args:
            run_file: none: the bundled concept's.
            changes: ``key.path=value``, over the file's settings.

        Raises:
            ConfigError: there is no pipeline here, or a change is wrong.
        """
        raise ConfigError(
            "The pipeline belongs to the ZenML project: run this from its repository after `make "
            "install`; here, `coti train` trains on a folder of images, and `coti.learn` runs the "
            "whole loop from Python."
        )

    def explain(self, error: Exception) -> str | None:
        """What an error says to the user; None for a mistake of the program's."""
        if not isinstance(error, ModuleNotFoundError):
            return system_sentence(error)
        return missing_extra(error.name or "")


def _place() -> Path:
    """Where this package lies: a checkout's root, or among installed packages."""
    return Path(coti.__file__).resolve().parents[1]


def installed_alone() -> str:
    """Why :class:`Project` is all that there is, wherever the user stands, and what to do."""
    place = _place()
    if (place / "coti_concept.py").is_file():
        return f"The checkout {place} lacks ZenML: `make install` in it, then its .venv/bin/coti."
    return (
        f"This coti is the package alone, installed in {place}, wherever it is called: the "
        "project's commands (registry, retrain, runs, stack, studio, ui and others) are those of a "
        "checkout. Clone the repository, `make install` in it, then call its .venv/bin/coti."
    )


@cache
def project() -> Project:
    """The ZenML project's where this package lies in its repository and ZenML is installed."""
    root = _place()
    # A stranger's package may be called `cli`, too; this file is the project's.
    if not (root / "coti_concept.py").is_file() or None in map(find_spec, ("zenml", "cli")):
        return Project()
    found: Project = import_module("cli.commands").ZenMLProject()
    return found
