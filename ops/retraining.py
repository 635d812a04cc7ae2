"""Which concepts must be trained again, and what came of it: the logic behind ``coti retrain``."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from coti.core.errors import ConfigError, RegistryError
from coti.core.whole_files import temporary_folder, whole_folder
from coti.loop.verdict import EXIT_CODES as VERDICTS
from coti.metrics.table import headline
from coti.settings import RunSettings
from ops.registry.embedding_registry import CHAMPION, EmbeddingRegistry, metrics_of
from ops.registry.promotion import VERDICT_TAG
from ops.run_file import check_run_file
from ops.terminal import user_sentence
from ops.tracking.lineage import Fingerprints, fingerprints_of, tags_of
from ops.tracking.mlflow_record import CYCLE_TAG, IMAGES, SHA256_TAG
from ops.tracking.tracked_embeddings import FILE, altered
from ops.tracking.tracker import Tracker, slug, tag_is

__all__ = [
    "EXIT_CODES",
    "Outcome",
    "changes",
    "download",
    "exit_code",
    "retrain",
    "run_files",
    "summary",
]

INPUTS = ("config", *(each.name for each in fields(Fingerprints)))
"""Whose hashes say that a concept must be trained again; the code's is not among them."""

EXIT_CODES = {"unchanged": 0, "promoted": 0, "challenger": 10, "failed": 1}
"""What a CI is told; 2 is click's, for a wrong command line."""


@dataclass(frozen=True)
class Outcome:
    """What came of one concept."""

    concept: str
    action: Literal["unchanged", "promoted", "challenger", "failed"]
    reason: str
    """A sentence for the user."""
    changed: list[str] = field(default_factory=list)
    """Which inputs changed."""
    version: int | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    champion: dict[str, Any] = field(default_factory=dict)
    """Metrics of the champion before."""
    run_id: str | None = None
    """The MLflow run."""


def run_files(paths: Sequence[Path]) -> list[Path]:
    """Run files among ``paths`` and in the folders among them, sorted.

    Raises:
        ConfigError: a path does not exist, or there is no run file at all.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
        elif path.is_file():
            found.append(path)
        else:
            raise ConfigError(f"{path} does not exist: name a run file or a folder of run files.")
    if not found:
        raise ConfigError(f"there is no run file in {', '.join(map(str, paths))}.")
    return found


def changes(client: MlflowClient, config: RunSettings) -> list[str]:
    """Which inputs no finished run of the concept had; empty if there is nothing to do."""
    wanted = tags_of(config, fingerprints_of(config))
    runs = _finished(client, config.concept)
    if not runs:
        return ["nothing was trained yet"]

    def unlike(run: Run) -> list[str]:
        keys = {name: f"coti.{name}_hash" for name in INPUTS}
        return [name for name, key in keys.items() if run.data.tags.get(key) != wanted[key]]

    if any(not unlike(run) for run in runs):
        return []
    return unlike(runs[0])


def retrain(
    path: Path, tracker: Tracker, run: Callable[[Path], int], force: bool = False
) -> Outcome:
    """Look at one concept, and train it again if its inputs changed.

    Args:
        path: its run file.
        tracker: MLflow.
        run: runs the pipeline with the run file; its exit code.
        force: run even if nothing changed.

    A wrong run file, a server or a store that is gone fails this concept alone.
    """
    concept, ended = path.stem, False
    changed: list[str] = []
    try:
        config = check_run_file(path)
        concept = config.concept
        changed = changes(tracker.client, config)
        if not changed and not force:
            return Outcome(concept, "unchanged", "no input changed; nothing to do.")
        before = EmbeddingRegistry(tracker.client, concept).champion()
        known = {each.info.run_id for each in _finished(tracker.client, concept)}
        if run(path) not in VERDICTS.values():
            reason = "the run failed; its log says why, and the same command goes on from there."
            return Outcome(concept, "failed", reason, changed)
        ended = True
        return _outcome(
            EmbeddingRegistry(tracker.client, concept), changed, before=before, known=known
        )
    except Exception as error:
        said = user_sentence(error, mid_run=False)
        if said is None:
            raise
        if ended:
            said = f"the run ended, but what came of it could not be asked: {said}"
        return Outcome(concept, "failed", said, changed)


def _outcome(
    registry: EmbeddingRegistry, changed: list[str], *, before: ModelVersion | None, known: set[str]
) -> Outcome:
    """What MLflow has of the run that just ended.

    Args:
        registry: the concept's entry.
        changed: which inputs changed.
        before: the champion before.
        known: the finished runs that were there before.
    """
    # A run that was there before says nothing about this one.
    runs = [
        each
        for each in _finished(registry.client, registry.concept)
        if each.info.run_id not in known
    ]
    number = runs[0].data.tags.get("coti.version") if runs else None
    if number is None:
        reason = (
            "the run ended without a registered version: look at its log; a stack whose "
            "orchestrator does not wait for the end (`synchronous: false`) cannot be asked."
        )
        return Outcome(registry.concept, "failed", reason, changed)
    version = registry.version(number)
    return Outcome(
        registry.concept,
        "promoted" if registry.has_alias(version, CHAMPION) else "challenger",
        version.tags.get(VERDICT_TAG, ""),
        changed,
        version=int(number),
        metrics=metrics_of(version),
        champion=metrics_of(before),
        run_id=runs[0].info.run_id,
    )


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """1 if anything failed, else 10 if a version stayed a challenger, else 0."""
    codes = {EXIT_CODES[each.action] for each in outcomes}
    return 1 if 1 in codes else max(codes, default=0)


def summary(outcomes: Sequence[Outcome]) -> str:
    """A page in Markdown for a CI's job summary: what happened, and the metrics by concept."""
    lines = ["## COTI: retraining", "", "| concept | result | changed | why |", "|---|---|---|---|"]
    for each in outcomes:
        changed = ", ".join(each.changed) or "–"
        lines.append(f"| {each.concept} | {each.action} | {changed} | {each.reason} |")
    for each in outcomes:
        if not each.metrics:
            continue
        lines += ["", f"### {each.concept}, version {each.version}", ""]
        lines += ["| metric | this version | champion before |", "|---|---|---|"]
        for metric in headline(name for name, value in each.metrics.items() if value is not None):
            values = (metric.format(row.get(metric.name)) for row in (each.metrics, each.champion))
            lines.append(f"| {metric.heading} | {' | '.join(values)} |")
        lines += ["", f"MLflow run `{each.run_id}`: samples and `report/report.html` there."]
    return "\n".join(lines) + "\n"


def download(outcomes: Sequence[Outcome], client: MlflowClient, folder: Path) -> None:
    """What MLflow has of each run that ended: embedding, report, samples; wherever it ran.

    Args:
        outcomes: of :func:`retrain`.
        client: MLflow's.
        folder: gets a folder a concept; one of an earlier time is replaced.

    Raises:
        RegistryError: a run's embedding is not the one that was measured.
    """
    for each in outcomes:
        if each.run_id is None:
            continue
        with whole_folder(folder / slug(each.concept), replace=True) as place:
            for part in ("embedding", "report"):
                if client.list_artifacts(each.run_id, part):
                    client.download_artifacts(each.run_id, part, str(place))
            tags = client.get_run(each.run_id).data.tags
            path = place / "embedding" / FILE
            if path.exists() and (said := altered(path, tags.get(SHA256_TAG))) is not None:
                raise RegistryError(f"{each.concept}, MLflow run {each.run_id}: {said}.")
            logged = f"{IMAGES}samples+".replace("/", "~")  # as MLflow names the file
            grids = [
                found.path
                for found in client.list_artifacts(each.run_id, "images")
                if Path(found.path).name.startswith(logged) and found.path.endswith(".png")
            ]
            if grids:
                with temporary_folder() as beside:
                    last = client.download_artifacts(
                        each.run_id, max(grids, key=_step), str(beside)
                    )
                    shutil.move(last, place / "samples.png")


def _step(name: str) -> int:
    """The step in the name of a logged image, ``…samples+step+5+timestamp+…``."""
    found = re.search(r"step\W+(\d+)", name)
    return int(found[1]) if found else -1


def _finished(client: MlflowClient, concept: str) -> list[Run]:
    """Whole runs of the concept, newest first."""
    experiment = client.get_experiment_by_name(concept)
    if experiment is None:
        return []
    query = f"{tag_is(CYCLE_TAG, 'parent')} and attributes.status = 'FINISHED'"
    runs = client.search_runs(
        [experiment.experiment_id], query, order_by=["attributes.start_time DESC"]
    )
    return list(runs)
