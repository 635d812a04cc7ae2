"""``coti curate``: from a messy pool to a set for whatever trainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coti.commands.json_output import json_option, print_json
from coti.commands.missing_extras import need_extra

if TYPE_CHECKING:
    from coti.api.curation import Curation

__all__ = ["curate"]

_CACHE = ".coti-curate"


@click.command()
@click.argument("pool")
@click.option(
    "--seeds",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of some ten good images of the concept.",
)
@click.option("--name", required=True, help="The concept's name, by which the scorer is asked.")
@click.option(
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the set: images/, manifest.parquet, curation.csv, report.html, set.json.",
)
@click.option(
    "--budget", type=click.IntRange(1, 1_000_000), default=150, help="Most images to choose."
)
@click.option(
    "--preset", help="Whose scorers: sd15, sd2, sdxl, bundled.  [default: sd15]", metavar="NAME"
)
@click.option(
    "--encoder",
    metavar="MODEL[:WEIGHTS]",
    help="Another open_clip model to score with: a folder, hf-hub:…, or a name and its weights' "
    "tag or file. Looks are then learned from the seeds alone.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of what was read and computed, by which a killed command goes on and a next one "
    f"is quick.  [default: {_CACHE} beside the output]",
)
@click.option(
    "--captions",
    type=click.Choice(["pool", "auto"]),
    default="pool",
    help="auto: chosen images without a caption are described, in the scorer's words or by "
    "--captioner.",
)
@click.option(
    "--captioner",
    metavar="MODEL",
    help="With --captions auto: BLIP or its like; a folder, or a name of the hub.",
)
@click.option(
    "--review",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A set of POOL that people reviewed (`coti review`): what they dropped is never chosen, "
    "what they kept before all else, their ratings and captions count.",
)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="A run file's setting.")
@json_option
def curate(
    pool: str,
    seeds: Path,
    name: str,
    output: Path,
    budget: int,
    preset: str | None,
    encoder: str | None,
    cache: Path | None,
    captions: str,
    captioner: str | None,
    review: Path | None,
    changes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Choose the images of POOL that show what the seeds show, and look good.

    POOL: a folder, tar shards, a table of URLs, an s3:// prefix, or img2dataset's output. Nothing
    is trained. The set has the files as they were found, and a page that says why each is in.
    Exit codes: 0 nothing speaks against the set, 4 doubtful, 5 it would fail. Stopped in the
    middle, the same command goes on.

    \b
    Examples:
      coti curate my/crawl --seeds my/seeds --name "penguin chick" --budget 200 --output chicks
      coti curate s3://bucket/crawl --seeds my/seeds --name boots --output boots \\
        --encoder ViT-B-32:laion2b_s34b_b79k --set pool_rules.min_side=512
      coti curate my/crawl --seeds my/seeds --name boots --output boots --captions auto \\
        --captioner Salesforce/blip-image-captioning-base
      coti curate my/crawl --seeds my/seeds --name "penguin chick" --output again --review chicks
      coti dataset export chicks --for kohya --output chicks_kohya --trigger chck
    """
    need_extra("pool")
    from coti.api.curation import curate as curated
    from coti.core.errors import ConfigError
    from coti.core.whole_files import refuse_foreign, require_writable

    kept = cache or output.absolute().parent / _CACHE
    for what, folder in (("--output", output), ("--cache", kept)):
        if Path(pool).is_dir() and folder.resolve().is_relative_to(Path(pool).resolve()):
            raise ConfigError(
                f"{what} {folder} lies in the pool, whose images it would join: give another place."
            )
    refuse_foreign(output, replace=False)
    require_writable(output)
    if captioner is not None and captions == "pool":
        raise ConfigError("--captioner describes nothing without --captions auto: add it.")
    keys = _keys(encoder, captions, captioner, changes)
    found = curated(
        seeds,
        pool,
        concept=name,
        count=budget,
        preset=preset,
        cache=kept,
        review=review,
        **keys,
    )
    found.save(output)
    if as_json:
        print_json(_values(found, output))
    else:
        _say(found, output)
    click.get_current_context().exit(found.verdict.exit_code)


def _keys(
    encoder: str | None, captions: str, captioner: str | None, changes: tuple[str, ...]
) -> dict[str, Any]:
    """Keys of a run file."""
    from coti.settings.changes import changed

    keys: dict[str, Any] = {} if captions == "pool" else {"captions": captions}
    if captioner is not None:
        keys["captioner"] = {"kind": "transformers", "model": captioner}
    if encoder is not None:
        # LAION's head and the bundled ratings are for features of other models.
        model, _, weights = encoder.rpartition(":")
        if not model or model in ("hf-hub", "local-dir") or Path(encoder).exists():
            model, weights = encoder, ""
        keys |= {
            "scorer": {"model": model, "pretrained": weights or None, "sha256": None},
            "aesthetic": {"head": None, "head_sha256": None, "ratings": None},
            "concept_score": {
                "encoder": "scorer",
                "model": None,
                "pretrained": None,
                "sha256": None,
            },
        }
    return changed(keys, changes)


def _counts(found: Curation) -> dict[str, int]:
    """Inputs by their reason, the picked ones first, then the most frequent."""
    from coti.pool.manifest import ACCEPTED

    table = found.chosen.table
    usable = table["status"] == ACCEPTED
    said = {"picked": len(found.picked)}
    for column in (table["why"][usable & (table["order"] == 0)], table["reason"][~usable]):
        said |= {str(name): int(number) for name, number in column.value_counts().items()}
    return said


def _values(found: Curation, output: Path) -> dict[str, Any]:
    chosen = found.chosen
    return {
        "concept": chosen.concept,
        "pool": click.format_filename(chosen.pool),
        "kind": chosen.kind,
        "inputs": len(chosen.table),
        "counts": _counts(found),
        "verdict": found.verdict.row(),
        "output": output,
        "report": output / "report.html",
    }


def _say(found: Curation, output: Path) -> None:
    """What was found, for people."""
    chosen = found.chosen
    click.echo(f"{click.format_filename(chosen.pool)}: {chosen.kind}")
    for note in found.pool.notes:
        click.echo(f"  {note}")
    click.echo(f"{len(chosen.table)} inputs:")
    for reason, number in _counts(found).items():
        click.echo(f"  {number:>8}  {reason}")
    click.echo(found.verdict.sentence)
    shown = click.format_filename(output)
    click.echo(f"report: {shown}/report.html")
    click.echo(f"next: `coti dataset export {shown} --for kohya --output DIR --trigger WORD`")
