"""From a concept's name to the folder of the run that its champion came from."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from cli.commands import MlflowTracking
from coti.commands.project import EmbeddingSource
from coti.core.errors import RegistryError
from ops.tracking import run_folders
from tests.ops.test_run_folders import make_run


class Champion(MlflowTracking):
    """A registry that says which run made the champion, as MLflow's does."""

    def __init__(self, run: str) -> None:
        self._run = run

    def version(self, concept: str, which: str) -> EmbeddingSource:
        """The champion alone."""
        assert (concept, which) == ("boot", "champion")
        return EmbeddingSource(cast("object", None), "boot", self._run)  # type: ignore[arg-type]


def test_the_folder_is_that_of_the_champions_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By MLflow's id, whichever run is the newest; where it has been removed that is said."""
    monkeypatch.setattr(run_folders, "ROOT", tmp_path)
    one = make_run(tmp_path / "outputs", "one", mlflow_run="a")
    make_run(tmp_path / "outputs", "two", mlflow_run="b")
    assert Champion("a").run_folder("boot") == one
    with pytest.raises(RegistryError, match="has no folder in outputs any more: give the folder"):
        Champion("c").run_folder("boot")
