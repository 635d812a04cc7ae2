"""The command ``zenml pipeline run``, for our own commands that run a pipeline."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import yaml

from coti.core.whole_files import private_folder, write_whole
from coti.settings.changes import changed_run_file
from coti.settings.from_yaml import read_yaml
from ops.stack.locations import ROOT

__all__ = ["kept_run_file", "pipeline_run", "run_instead"]


def pipeline_run(pipeline: str, run_file: Path | None) -> list[str]:
    """The words that run a pipeline, at the root of the repository, from which ZenML imports it.

    Args:
        pipeline: the name of its module there.
        run_file: none: what the pipeline runs without one.
    """
    zenml = [sys.executable, str(Path(sys.executable).with_name("zenml"))]
    given = [] if run_file is None else ["-c", str(run_file.resolve())]
    return [*zenml, "pipeline", "run", pipeline, *given]


def run_instead(pipeline: str, run_file: Path | None) -> NoReturn:
    """Become the command that runs a pipeline: its output, its signals and its exit code."""
    words = pipeline_run(pipeline, run_file)
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(words[0], words)


def kept_run_file(path: Path, changes: Sequence[str], root: Path = ROOT) -> Path:
    """A run file of its own for changes of another one, which ZenML can read; below ``.coti``.

    Raises:
        ConfigError: a changed key or its value is wrong.
    """
    content = changed_run_file(read_yaml(path), changes, str(path))
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    name = f"{path.stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.yaml"
    kept = private_folder(root / ".coti") / "run_files" / name
    kept.parent.mkdir(exist_ok=True)
    write_whole(kept, text.encode())
    return kept
