"""The folders that runs left below ``output``: found by what a run writes, removed by its marker.

A run's folder is one that we made (:data:`coti.core.whole_files.MARKER`) and that holds an
embedding. It appears whole when the run ends, so a run that is under way has none, unless an
earlier one of the same name does.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coti.core.errors import StoreError
from coti.core.text_files import read_json
from coti.core.whole_files import is_ours, plain_name, point_link, remove_ours, write_whole
from ops.stack.locations import LATEST, ROOT

__all__ = [
    "RunFolder",
    "find_run",
    "folder_of",
    "is_live",
    "remove_run",
    "run_folders",
    "write_summary",
]

EMBEDDING = "learned_embeds.safetensors"
SUMMARY = "run.json"


@dataclass(frozen=True)
class RunFolder:
    """A run that has ended; what its folder does not tell is None."""

    name: str
    folder: Path
    concept: str | None
    seed: int | None
    outcome: str | None
    """Whether it worked (:mod:`coti.loop.verdict`)."""
    finished: str | None
    """UTC, ISO 8601."""
    cycles: int | None
    kept_cycle: int | None
    mlflow_run: str | None
    bytes: int
    """Of the files in the folder alone: neither ZenML's artifacts nor MLflow's record."""


def write_summary(
    folder: Path,
    *,
    concept: str,
    seed: int,
    outcome: str,
    cycles: int,
    kept_cycle: int,
    mlflow_run: str,
) -> Path:
    """Write ``run.json`` into a run's folder: what lists of runs tell."""
    values = {
        "concept": concept,
        "seed": seed,
        "outcome": outcome,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "cycles": cycles,
        "kept_cycle": kept_cycle,
        "mlflow_run": mlflow_run,
    }
    write_whole(folder / SUMMARY, json.dumps(values, indent=1).encode())
    return folder / SUMMARY


def run_folders(output: str = "outputs") -> list[RunFolder]:
    """The runs below ``output``, the newest first; links and what others put there are none."""
    root = (ROOT / output).resolve()
    children = root.iterdir() if root.is_dir() else ()
    found = [_read(path) for path in children if _is_run(path)]
    return sorted(found, key=lambda run: (run.finished or "", run.name), reverse=True)


def find_run(name: str, output: str = "outputs") -> RunFolder:
    """A run by its name; ``latest`` is the newest.

    Raises:
        ConfigError: the name is a path.
        StoreError: there is none, or its folder is not one that a run of ours wrote.
    """
    root = (ROOT / output).resolve()
    path = root / plain_name(name, "the run")
    if name == LATEST and path.is_symlink():
        path = root / Path(os.readlink(path)).name
    if not _is_run(path):
        what = "is no run's folder of ours" if os.path.lexists(path) else "does not exist"
        raise StoreError(f"{path} {what}: `coti runs list` names the runs.")
    return _read(path)


def folder_of(mlflow_run: str) -> Path | None:
    """The folder of the run that MLflow has under this id; None where it is gone."""
    return next((each.folder for each in run_folders() if each.mlflow_run == mlflow_run), None)


def is_live(name: str) -> bool:
    """Whether a run of this name is under way, as far as ZenML knows."""
    from zenml.client import Client

    from ops.tracking.killed_runs import has_ended, process_of

    runs = Client().list_pipeline_runs(name=f"equals:{name}", hydrate=True).items
    return any(not run.status.is_finished and not has_ended(process_of(run)) for run in runs)


def remove_run(run: RunFolder) -> None:
    """Remove a run's folder; the link to the newest run then names the newest that is left.

    Its records in ZenML, MLflow and the registry stay.

    Raises:
        StoreError: it is not ours any more.
    """
    output, link = run.folder.parent, run.folder.with_name(LATEST)
    was_latest = link.is_symlink() and Path(os.readlink(link)).name == run.name
    remove_ours(run.folder)
    if was_latest:
        left = run_folders(str(output))
        if left:
            point_link(link, left[0].name)
        else:
            link.unlink()


def _is_run(path: Path) -> bool:
    with suppress(OSError):
        return (
            not path.name.startswith(".")
            and is_ours(path)
            and stat.S_ISREG(os.lstat(path / EMBEDDING).st_mode)
        )
    return False


def _read(path: Path) -> RunFolder:
    said: Any = None
    with suppress(OSError, ValueError):  # of another release, or damaged
        said = read_json((path / SUMMARY).read_text(encoding="utf-8"))
    values = said if isinstance(said, dict) else {}

    def text(key: str) -> str | None:
        return values[key] if isinstance(values.get(key), str) else None

    def number(key: str) -> int | None:
        return values[key] if type(values.get(key)) is int else None

    return RunFolder(
        name=path.name,
        folder=path,
        concept=text("concept"),
        seed=number("seed"),
        outcome=text("outcome"),
        finished=text("finished"),
        cycles=number("cycles"),
        kept_cycle=number("kept_cycle"),
        mlflow_run=text("mlflow_run"),
        bytes=_size(path),
    )


def _size(folder: Path) -> int:
    """Of the files below, no link followed."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
