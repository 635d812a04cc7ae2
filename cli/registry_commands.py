"""``coti registry``: versions of a concept, listed, shown and compared."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cli.registry_changes import export, promote, rollback
from cli.registry_entry import entry_of, registry_client
from cli.text_table import print_table, said
from coti.commands.json_output import json_option, print_json

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from ops.registry.embedding_registry import EmbeddingRegistry

__all__ = ["registry"]


@click.group()
def registry() -> None:
    """List, compare, promote, roll back and export learned embeddings.

    \b
    Examples:
      coti registry list
      coti registry show "ankle boot" champion
    """


for _command in (promote, rollback, export):
    registry.add_command(_command)


@registry.command("list")
@click.argument("concept", required=False)
@json_option
def list_(concept: str | None, as_json: bool) -> None:
    """List the registered concepts, or the versions of CONCEPT.

    \b
    Example:
      coti registry list "ankle boot"
    """
    client = registry_client()
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
        print_json(rows)
        return
    if not rows:
        click.echo("Nothing is registered yet: `zenml pipeline run coti_concept` registers.")
        return
    print_table(
        [_label(name) for name in rows[0]],
        [[_measured(name, value) for name, value in row.items()] for row in rows],
    )


@registry.command()
@click.argument("concept")
@click.argument("version", default="champion")
@json_option
def show(concept: str, version: str, as_json: bool) -> None:
    """Show a VERSION (a number or an alias): metrics, lineage, verdict, and the audit trail.

    VERSION is the champion by default.

    \b
    Example:
      coti registry show "ankle boot" 3
    """
    entry = entry_of(concept)
    from ops.registry.audit import entries
    from ops.registry.embedding_registry import METRICS_TAG
    from ops.registry.promotion import ACCEPTED_TAG

    found = entry.version(version)
    trail = entries(entry.client, entry.name)
    tags = {name: value for name, value in sorted(found.tags.items()) if name != METRICS_TAG}
    values = _version(entry, found)
    if as_json:
        audit = [asdict(each) for each in trail]
        print_json({"concept": entry.name, **values, "tags": tags, "audit": audit})
        return
    aliases = ", ".join(values["aliases"]) or "no alias"
    click.echo(f"{entry.name} version {found.version} ({aliases})")
    if ACCEPTED_TAG in tags:
        click.echo(f"Made champion without the gate's metrics, by {tags[ACCEPTED_TAG]}")
    where = [["mlflow run", values["run"]], ["file", values["source"]]]
    metrics = [[_label(each), _measured(each, value)] for each, value in values["metrics"].items()]
    print_table(["what", "value"], [*metrics, *map(list, tags.items()), *where])
    for each in trail:
        click.echo(
            f"{each.time} {each.action} version {each.version} (before: {each.previous or 'none'}) "
            f"by {each.who}: {each.why} – {each.verdict}"
        )


@registry.command()
@click.argument("concept")
@click.argument("first", default="champion")
@click.argument("second", default="challenger")
@json_option
def compare(concept: str, first: str, second: str, as_json: bool) -> None:
    """Compare two versions, and say whether their metrics may be compared.

    FIRST is the champion and SECOND the challenger by default.

    \b
    Example:
      coti registry compare "ankle boot" 3 4
    """
    entry = entry_of(concept)
    from ops.registry.gate import unlike

    versions = [_version(entry, entry.version(which)) for which in (first, second)]
    metrics = [each["metrics"] for each in versions]
    different = unlike(*metrics)
    if as_json:
        print_json({"concept": entry.name, "versions": versions, "unlike": different})
        return
    names = dict.fromkeys([*metrics[0], *metrics[1]])
    print_table(
        ["metric", *(f"version {each['version']}" for each in versions)],
        [[_label(name), *(_measured(name, each.get(name)) for each in metrics)] for name in names],
    )
    if different:
        click.echo(f"Not comparable: another {', '.join(different)}.")
    else:
        click.echo("Comparable: same judge, same references, same counts.")


def _version(entry: EmbeddingRegistry, version: ModelVersion) -> dict[str, Any]:
    from ops.registry.embedding_registry import metrics_of

    return {
        "version": int(version.version),
        "aliases": entry.aliases(version),
        "metrics": metrics_of(version),
        "run": version.run_id,
        "source": version.source,
    }


def _label(name: str) -> str:
    """A metric's name for people; any other name as it is."""
    from coti.metrics.table import METRICS

    return METRICS[name].label if name in METRICS else name


def _measured(name: str, value: Any) -> str:
    """A metric as every reader writes it; anything else as a table of ours does."""
    from coti.metrics.table import METRICS
    from coti.report.formats import as_number

    return METRICS[name].format(as_number(value)) if name in METRICS else said(value)
