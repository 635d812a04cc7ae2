"""``coti registry promote``, ``rollback``, ``export``: what changes a concept or takes it along."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.registry_entry import entry_of
from cli.text_table import said
from coti.commands.number_types import FiniteRange

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from coti.settings import PromotionSettings

__all__ = ["export", "promote", "rollback"]

WAIT = click.option(
    "--wait",
    type=FiniteRange(0, 86_400),
    default=5.0,
    help="Seconds to wait for another promotion's end.",
)


@click.command()
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

    VERSION is the challenger by default, the gate that of the run file that it was trained with.

    \b
    Example:
      coti registry promote "ankle boot" 7 --why "better soles"
    """
    if accept and path is not None:
        raise click.UsageError("--accept-without-metrics asks no gate: leave out -c.")
    entry = entry_of(concept)
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
    margins = ", ".join(f"{name} {said(value)}" for name, value in asdict(gate).items())
    click.echo(f"Gate {whose}: {margins}.")
    return gate


@click.command()
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
    """Make a former champion the champion again.

    \b
    Example:
      coti registry rollback "ankle boot" --why "generates sandals"
    """
    entry = entry_of(concept)
    from ops.registry.audit import entries
    from ops.registry.rollback import rollback as roll_back
    from ops.registry.zenml_mirror import mirror_to_zenml

    found = roll_back(entry, to=to, why=why, seconds=wait, force=force)
    forced = entries(entry.client, entry.name)[-1].action == "force_rollback"
    mirror_to_zenml(entry)
    again = "by force: it never was before" if forced else "again"
    click.echo(f"{entry.name} version {found.version} is the champion {again}.")


@click.command()
@click.argument("concept")
@click.argument("version", default="champion")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option("--license", default="other", help="SPDX identifier.")
def export(concept: str, version: str, output: Path, license: str) -> None:
    """Write a Hugging Face concept folder, with the file that the web UIs take.

    VERSION is the champion by default.

    \b
    Example:
      coti registry export "ankle boot" --output boots --license cc-by-4.0
    """
    from coti.core.whole_files import refuse_foreign, require_writable, temporary_folder

    output = output.absolute()
    refuse_foreign(output, replace=False)
    require_writable(output.parent)
    entry = entry_of(concept)
    from coti.core.errors import RegistryError
    from coti.dataset.concept_folder import ConceptCard, write_concept_folder
    from ops.registry.embedding_registry import PROPERTY_TAG, metrics_of

    found = entry.version(version)
    run_id = str(found.run_id)
    faults = entry.faults(found)
    if faults:
        raise RegistryError(f"version {found.version} is not exported: {faults[0]}.")
    card = ConceptCard(
        concept=found.tags.get("coti.concept", concept),
        kind="style" if found.tags.get(PROPERTY_TAG) == "style" else "object",
        base_model=found.tags.get("coti.base_model", "unknown"),
        license=license,
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
