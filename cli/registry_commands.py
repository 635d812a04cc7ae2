"""``coti registry``: versions of a concept, promotion through the gate, rollback, export."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coti.commands.number_types import FiniteRange
from ops.quiet import quiet_terminal

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from coti.settings import PromotionSettings
    from ops.registry.embedding_registry import EmbeddingRegistry

__all__ = ["registry"]

WAIT = click.option(
    "--wait",
    type=FiniteRange(0, 86_400),
    default=5.0,
    show_default=True,
    help="Seconds to wait for another promotion's end.",
)


@click.group()
def registry() -> None:
    """List, compare, promote, roll back and export learned embeddings."""


def _print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=None, pad_edge=False)
    table.columns[-1].overflow = "fold"
    for row in rows:
        table.add_row(*map(_said, row))
    # Into a pipe nothing is cut; rich would take it for 80 columns.
    width = None if sys.stdout.isatty() else 250
    # Whoever registers writes names and tags: brackets and colons in them are only that.
    console = Console(soft_wrap=True, width=width, markup=False, emoji=False, highlight=False)
    console.print(table)


def _client() -> MlflowClient:
    """MLflow's, of the active stack."""
    quiet_terminal()
    from ops.tracking.active_tracker import active_tracker

    quiet_terminal(again=True)  # ZenML is imported now
    return active_tracker().client


def _entry(concept: str) -> EmbeddingRegistry:
    client = _client()
    from ops.registry.embedding_registry import EmbeddingRegistry

    return EmbeddingRegistry.find(client, concept)


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _label(name: str) -> str:
    """A metric's name for people; any other name as it is."""
    from coti.metrics.table import METRICS

    return METRICS[name].label if name in METRICS else name


def _measured(name: str, value: Any) -> str:
    """A metric as every reader writes it; anything else as a table of ours does."""
    from coti.metrics.table import METRICS
    from coti.report.formats import as_number

    return METRICS[name].format(as_number(value)) if name in METRICS else _said(value)


@registry.command("list")
@click.argument("concept", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def list_(concept: str | None, as_json: bool) -> None:
    """List the registered concepts, or the versions of CONCEPT."""
    client = _client()
    from ops.registry.embedding_registry import EmbeddingRegistry, metrics_of, registered_concepts
    from ops.registry.gate import GATED

    if concept:
        found = [EmbeddingRegistry.find(client, concept)]
    else:
        found = [EmbeddingRegistry.find(client, name) for name in registered_concepts(client)]
    rows = []
    for entry in found:
        for version in reversed(entry.versions()):
            metrics = metrics_of(version)
            rows.append(
                {
                    "concept": entry.name,
                    "version": int(version.version),
                    "aliases": entry.aliases(version),
                    **{each: metrics.get(each) for each in (*GATED, "phi_ref")},
                    "run": version.run_id,
                }
            )
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo("Nothing is registered yet: `zenml pipeline run coti_concept` registers.")
        return
    _print_table(
        [_label(name) for name in rows[0]],
        [[_measured(name, value) for name, value in row.items()] for row in rows],
    )


@registry.command()
@click.argument("concept")
@click.argument("version", default="champion")
def show(concept: str, version: str) -> None:
    """Show a VERSION (a number or an alias): metrics, lineage, verdict, and the audit trail."""
    entry = _entry(concept)
    from ops.registry.audit import entries
    from ops.registry.embedding_registry import METRICS_TAG, metrics_of

    found = entry.version(version)
    said = ", ".join(entry.aliases(found)) or "no alias"
    click.echo(f"{entry.name} version {found.version} ({said})")
    tags = [[name, value] for name, value in sorted(found.tags.items()) if name != METRICS_TAG]
    where = [["mlflow run", found.run_id], ["file", found.source]]
    metrics = [[_label(each), _measured(each, value)] for each, value in metrics_of(found).items()]
    _print_table(["what", "value"], [*metrics, *tags, *where])
    for each in entries(entry.client, entry.name):
        click.echo(
            f"{each.time} {each.action} version {each.version} (before: {each.previous or 'none'}) "
            f"by {each.who}: {each.why} – {each.verdict}"
        )


@registry.command()
@click.argument("concept")
@click.argument("first", default="champion")
@click.argument("second", default="challenger")
def compare(concept: str, first: str, second: str) -> None:
    """Compare two versions, and say whether their metrics may be compared."""
    entry = _entry(concept)
    from ops.registry.embedding_registry import metrics_of
    from ops.registry.gate import unlike

    versions = [entry.version(first), entry.version(second)]
    metrics = [metrics_of(each) for each in versions]
    names = dict.fromkeys([*metrics[0], *metrics[1]])
    _print_table(
        ["metric", *(f"version {each.version}" for each in versions)],
        [[_label(name), *(_measured(name, each.get(name)) for each in metrics)] for name in names],
    )
    different = unlike(*metrics)
    if different:
        click.echo(f"Not comparable: another {', '.join(different)}.")
    else:
        click.echo("Comparable: same judge, same references, same counts.")


@registry.command()
@click.argument("concept")
@click.argument("version", default="challenger")
@click.option("--why", required=True, help="For the audit trail.")
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Run file whose `promotion` is the gate, this once; without it, the version's own.",
)
@click.option(
    "--accept-without-metrics",
    "accept",
    is_flag=True,
    help="Make champion what the gate cannot judge, for want of references or captions: you answer "
    "for it, and that is written down.",
)
@WAIT
def promote(
    concept: str, version: str, why: str, path: Path | None, accept: bool, wait: float
) -> None:
    """Make VERSION the champion if the gate lets it pass; exit code 3 if it does not.

    The gate is that of the run file that VERSION was trained with.
    """
    if accept and path is not None:
        raise click.UsageError("--accept-without-metrics asks no gate: leave out -c.")
    entry = _entry(concept)
    from ops.registry.promotion import accept_without_metrics
    from ops.registry.promotion import promote as promote_version
    from ops.registry.zenml_mirror import mirror_to_zenml

    found = entry.version(version)
    if accept:
        verdict = accept_without_metrics(entry, found, why=why, seconds=wait)
    else:
        gate = _gate(found, path)
        verdict = promote_version(entry, found, gate, why=why, seconds=wait, keep_gate=False)
    mirror_to_zenml(entry)
    click.echo(f"{entry.name} version {found.version}: {verdict.reason}")
    if not verdict.promoted:
        raise click.exceptions.Exit(3)


def _gate(version: ModelVersion, path: Path | None) -> PromotionSettings:
    """That of a run file, or the version's own, or the default; says which."""
    from coti.settings import PromotionSettings
    from ops.registry.promotion import kept_gate
    from ops.run_file import load_settings

    if path is not None:
        gate, whose = load_settings(path).promotion, f"of {path}"
    elif (own := kept_gate(version)) is not None:
        gate, whose = own, "of the version's own run file"
    else:
        gate = PromotionSettings()
        whose = "by default, since none was kept with the version; -c names another"
    margins = ", ".join(f"{name} {_said(value)}" for name, value in asdict(gate).items())
    click.echo(f"Gate {whose}: {margins}.")
    return gate


@registry.command()
@click.argument("concept")
@click.option("--to", help="Version to return to; the champion before the present one without it.")
@click.option("--why", required=True, help="For the audit trail.")
@click.option(
    "--force",
    is_flag=True,
    help="Also a version that never was champion; written down as such.",
)
@WAIT
def rollback(concept: str, to: str | None, why: str, force: bool, wait: float) -> None:
    """Make a former champion the champion again."""
    entry = _entry(concept)
    from ops.registry.audit import entries
    from ops.registry.promotion import rollback as roll_back
    from ops.registry.zenml_mirror import mirror_to_zenml

    found = roll_back(entry, to=to, why=why, seconds=wait, force=force)
    forced = entries(entry.client, entry.name)[-1].action == "force_rollback"
    mirror_to_zenml(entry)
    again = "by force: it never was before" if forced else "again"
    click.echo(f"{entry.name} version {found.version} is the champion {again}.")


@registry.command()
@click.argument("concept")
@click.argument("version", default="champion")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option("--licence", default="other", show_default=True, help="SPDX identifier.")
def export(concept: str, version: str, output: Path, licence: str) -> None:
    """Write a Hugging Face concept folder, with the file that the web UIs take."""
    from coti.core.whole_files import refuse_foreign, require_writable, temporary_folder

    output = output.absolute()
    refuse_foreign(output, replace=False)
    require_writable(output.parent)
    entry = _entry(concept)
    from coti.core.errors import RegistryError
    from coti.dataset.concept_folder import ConceptCard, write_concept_folder
    from ops.registry.embedding_registry import metrics_of

    found = entry.version(version)
    run_id = str(found.run_id)
    run = entry.client.get_run(run_id)
    faults = entry.faults(found)
    if faults:
        raise RegistryError(f"version {found.version} is not exported: {faults[0]}.")
    card = ConceptCard(
        concept=found.tags.get("coti.concept", concept),
        kind="style" if run.data.params.get("token.learnable_property") == "style" else "object",
        base_model=found.tags.get("coti.base_model", "unknown"),
        licence=licence,
        metrics=metrics_of(found),
        lineage={
            "registered version": f"{entry.name} {found.version}",
            "MLflow run": run_id,
            **{k: v for k, v in sorted(found.tags.items()) if k.endswith(("_hash", "_commit"))},
        },
    )
    with temporary_folder() as folder:
        file = entry.download(found, folder)
        images: list[Path] = []
        if entry.client.list_artifacts(run_id, "concept_images"):
            got = entry.client.download_artifacts(run_id, "concept_images", str(folder))
            images = sorted(Path(got).glob("*.png"), key=lambda path: int(path.stem))
        write_concept_folder(output, file, images, card)
    click.echo(f"{entry.name} version {found.version} is in {output}.")
