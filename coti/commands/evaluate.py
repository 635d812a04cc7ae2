"""``coti evaluate``: how good embeddings are, by the metrics of the Textual Inversion paper."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coti.commands.generation_options import (
    GenerationOptions,
    embedding_options,
    generation_options,
)
from coti.commands.image_options import fit_options
from coti.commands.json_output import json_option, print_json
from coti.commands.project import project
from coti.core.errors import ConfigError
from coti.core.whole_files import require_writable, whole_file
from coti.metrics.table import METRICS
from coti.settings import EvaluationSettings

if TYPE_CHECKING:
    from coti.core.fitting import Fit
    from coti.inversion.adapters.embedding import Embedding

__all__ = ["evaluate"]


@click.command()
@embedding_options
@click.option(
    "--label", "labels", multiple=True, help="Names, in the order word, concept, embedding."
)
@click.option(
    "--word", "plain_words", multiple=True, help="A word of the vocabulary, as a baseline."
)
@click.option(
    "--references",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder of the concept's own images.",
)
@click.option("--prompt", "texts", multiple=True, help="A prompt; repeatable.")
@click.option("--prompts-file", type=click.Path(path_type=Path), help="Prompts by [difficulty].")
@click.option("--bare-prompt", default="a photo of a {}")
@click.option("--images-per-prompt", type=click.IntRange(1, 100_000), default=64)
@click.option(
    "--num-seeds",
    type=click.IntRange(1, 10_000),
    default=1,
    help="From --seed on.",
)
@click.option("--classes", help="Class names, by commas: how evenly images spread over them.")
@click.option("--expected", help="The classes that the embedding stands for; without it all.")
@click.option("--judge", default=EvaluationSettings().judge, help="open_clip's.")
@click.option("--judge-pretrained", help="Tag of its weights.")
@click.option(
    "--track/--no-track",
    default=None,
    help="Write it into MLflow; by default where the ZenML project is there.",
)
@generation_options
@fit_options
@json_option
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Folder.")
def evaluate(
    concepts: tuple[str, ...],
    embeddings: tuple[str, ...],
    labels: tuple[str, ...],
    plain_words: tuple[str, ...],
    references: Path,
    texts: tuple[str, ...],
    prompts_file: Path | None,
    bare_prompt: str,
    images_per_prompt: int,
    num_seeds: int,
    classes: str | None,
    expected: str | None,
    judge: str,
    judge_pretrained: str | None,
    track: bool | None,
    how: GenerationOptions,
    fit: Fit,
    as_json: bool,
    output: Path | None,
) -> None:
    """Measure reconstruction and editability of embeddings, and how even their images are.

    Writes scores.csv and distortion_editability.png, and tracks both in MLflow.

    \b
    Example:
      coti evaluate --embedding boot.safetensors --word boot --references my/boots
    """
    project().quiet_terminal()
    # Before hours of generating: is there what will be needed at the end?
    tracking = project().tracking() if (project().tracks if track is None else track) else None
    from coti.commands.embedding_sources import find_embeddings, load_base_model
    from coti.commands.generate import new_folder
    from coti.encoders.open_clip_encoder import load_image_text_encoder
    from coti.generation.own_settings import sampling_settings
    from coti.generation.prompts import EDITABILITY_PROMPTS, read_prompts
    from coti.metrics.embedding_quality import ClassNames, measure_embedding
    from coti.pool.chosen_images import read_chosen_images
    from coti.report.distortion_plot import means_by_label, plot_distortion

    sources = find_embeddings(concepts, embeddings)
    measured: list[Embedding | str] = [*plain_words, *(each.embedding for each in sources)]
    if not measured:
        raise ConfigError("There is nothing to evaluate: give --concept, --embedding or --word.")
    names = _labels(labels, [*plain_words, *(each.label for each in sources)])
    prompts = dict(read_prompts(prompts_file)) if prompts_file else {}
    if texts:
        prompts[""] = (*prompts.get("", ()), *texts)
    prompts = prompts or EDITABILITY_PROMPTS
    every = _list(classes)
    told_apart = ClassNames(every, _list(expected) or every) if every else None
    network = load_base_model(how, sources)
    settings = how.settings_for([each.embedding for each in sources], network.widths)
    _, _, images = read_chosen_images(references, network.resolution, fit)
    encoder = load_image_text_encoder(
        project().locate(judge),
        judge_pretrained and project().locate(judge_pretrained),
        device="auto",
        batch_size=EvaluationSettings().batch_size,
    )
    concept = next((s.embedding.metadata.get("concept", "") for s in sources), "") or "words"
    if tracking is not None:
        tracking.require_experiment(concept)
    folder = output or new_folder("evaluated")
    require_writable(folder)
    rows = [
        measure_embedding(
            network,
            encoder,
            each,
            images,
            prompts,
            settings,
            number,
            label=name,
            images_per_prompt=images_per_prompt,
            bare_prompt=bare_prompt,
            negative_prompt=how.negative_prompt,
            classes=told_apart,
        ).row()
        for name, each in zip(names, measured, strict=True)
        for number in range(how.seed, how.seed + num_seeds)
    ]
    table = _write_table(rows, folder / "scores.csv")
    title = f"{concept}: {images_per_prompt} images a prompt, {num_seeds} seeds, {encoder.name}"
    plot = plot_distortion(rows, folder / "distortion_editability.png", title)
    means, run = means_by_label(rows), None
    if not as_json:
        _print_table(means)
        click.echo(f"table: {table}; plot: {plot}")
    if tracking is not None:
        params = {
            "base_model": network.name,
            "base_model_hash": network.fingerprint,
            "judge": judge,
            "references": references,
            "num_references": len(images),
            "images_per_prompt": images_per_prompt,
            "bare_prompt": bare_prompt,
            "negative_prompt": how.negative_prompt,
            "dtype": str(network.dtype).removeprefix("torch."),
            **sampling_settings(settings),
        }
        run = tracking.record_evaluation(concept, rows, params, [table, plot])
        if not as_json:
            click.echo(f"MLflow: coti ui --run {run}")
    if as_json:
        print_json({"rows": means, "table": table, "plot": plot, "mlflow_run": run})


def _list(names: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (names or "").split(",") if name.strip())


def _labels(given: Sequence[str], own: Sequence[str]) -> list[str]:
    """A different name for each: those given first, their own for the rest."""
    if len(given) > len(own):
        raise ConfigError(
            f"{len(given)} labels for {len(own)} things to measure: one --label each."
        )
    names = [*given, *own[len(given) :]]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ConfigError(f"Two are called {doubled[0]!r}: tell them apart with --label.")
    return names


def _write_table(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    columns = ["reconstruction", "editability"]
    columns += [c for c in ("entropy", "largest_share", "expected_share") if rows[0][c] is not None]
    heads = [METRICS[name].label if name in METRICS else name for name in columns]
    width = max(5, *(len(row["label"]) for row in rows))
    click.echo(f"{'label':<{width}}  vectors  " + "  ".join(f"{head:>14}" for head in heads))
    for row in rows:
        numbers = "  ".join(f"{_number(column, row[column]):>14}" for column in columns)
        click.echo(f"{row['label']:<{width}}  {row['num_vectors'] or '–':>7}  {numbers}")


def _number(name: str, value: float) -> str:
    """As every reader writes the metric; in thousandths what is none of a cycle's."""
    return METRICS[name].format(value) if name in METRICS else f"{value:.3f}"
