"""``coti evaluate``: how good words are, by the two metrics of the Textual Inversion paper."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.drawing_options import DrawingOptions, drawing_options, word_options
from coti.core.errors import ConfigError
from coti.settings import EvaluationSettings
from ops.quiet import quiet_terminal

if TYPE_CHECKING:
    from coti.inversion.adapters.embedding import Embedding

__all__ = ["evaluate"]


@click.command()
@word_options
@click.option(
    "--label", "labels", multiple=True, help="Names, in the order word, concept, embedding."
)
@click.option(
    "--word", "plain_words", multiple=True, help="A word of the vocabulary: the per-word baseline."
)
@click.option(
    "--references",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder of the concept's own images.",
)
@click.option("--prompt", "texts", multiple=True, help="A prompt; repeatable.")
@click.option("--prompts-file", type=click.Path(path_type=Path), help="Prompts by [difficulty].")
@click.option("--bare-prompt", default="a photo of a {}", show_default=True)
@click.option("--images-per-prompt", type=click.IntRange(1), default=64, show_default=True)
@click.option(
    "--num-seeds", type=click.IntRange(1), default=1, show_default=True, help="From --seed on."
)
@click.option("--classes", help="Class names, by commas: measure how even a word's images are.")
@click.option("--expected", help="The classes that the word stands for; all of them without it.")
@click.option("--judge", default=EvaluationSettings().judge, show_default=True, help="open_clip's.")
@click.option("--judge-pretrained", help="Tag of its weights.")
@click.option("--track/--no-track", default=True, show_default=True, help="Write it into MLflow.")
@drawing_options
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
    track: bool,
    drawing: DrawingOptions,
    output: Path | None,
) -> None:
    """Measure reconstruction and editability of words, and how even their images are.

    Writes scores.csv and distortion_editability.png, and tracks both in MLflow.
    """
    quiet_terminal()
    from cli.generate import new_folder
    from cli.word_sources import find_words, load_base_model, registry
    from coti.core.images import read_image_folder
    from coti.generation.prompts import EDITABILITY_PROMPTS, read_prompts
    from coti.metrics.embedding_quality import ClassNames, measure_embedding
    from ops.stack.loaded_models import image_text_encoder
    from tools.distortion_plot import means_by_label, plot_distortion

    words = find_words(concepts, embeddings)
    measured: list[Embedding | str] = [*plain_words, *(word.embedding for word in words)]
    if not measured:
        raise ConfigError("There is nothing to evaluate: give --concept, --embedding or --word.")
    names = _labels(labels, [*plain_words, *(word.label for word in words)])
    prompts = dict(read_prompts(prompts_file)) if prompts_file else {}
    if texts:
        prompts[""] = (*prompts.get("", ()), *texts)
    prompts = prompts or EDITABILITY_PROMPTS
    every = _list(classes)
    told_apart = ClassNames(every, _list(expected) or every) if every else None
    network = load_base_model(drawing, words)
    _, images = read_image_folder(references, network.resolution)
    encoder = image_text_encoder(judge, judge_pretrained, EvaluationSettings().batch_size)
    rows = [
        measure_embedding(
            network,
            encoder,
            word,
            images,
            prompts,
            drawing.settings,
            number,
            label=name,
            images_per_prompt=images_per_prompt,
            bare_prompt=bare_prompt,
            negative_prompt=drawing.negative_prompt,
            classes=told_apart,
        ).row()
        for name, word in zip(names, measured, strict=True)
        for number in range(drawing.seed, drawing.seed + num_seeds)
    ]
    folder = output or new_folder("evaluated")
    folder.mkdir(parents=True, exist_ok=True)
    table = _write_table(rows, folder / "scores.csv")
    concept = next((w.embedding.metadata.get("concept", "") for w in words), "") or "words"
    title = f"{concept}: {images_per_prompt} images a prompt, {num_seeds} seeds, {encoder.name}"
    plot = plot_distortion(rows, folder / "distortion_editability.png", title)
    _print_table(means_by_label(rows))
    click.echo(f"table: {table}; plot: {plot}")
    if track:
        from ops.tracking.evaluation_record import record_evaluation

        how = drawing.settings
        params = {
            "base_model": network.name,
            "base_model_hash": network.fingerprint,
            "judge": judge,
            "references": references,
            "num_references": len(images),
            "images_per_prompt": images_per_prompt,
            "num_inference_steps": how.num_inference_steps,
            "guidance_scale": how.guidance_scale,
            "scheduler": how.scheduler,
            "use_karras_sigmas": how.use_karras_sigmas,
        }
        uri = registry().tracking_uri
        click.echo(
            f"MLflow: coti ui --run {record_evaluation(uri, concept, rows, params, [table, plot])}"
        )


def _list(names: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (names or "").split(",") if name.strip())


def _labels(given: Sequence[str], own: Sequence[str]) -> list[str]:
    """A different name a word: those given first, the words' own for the rest."""
    if len(given) > len(own):
        raise ConfigError(f"{len(given)} labels for {len(own)} words: give one --label a word.")
    names = [*given, *own[len(given) :]]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ConfigError(f"Two words are called {doubled[0]!r}: tell them apart with --label.")
    return names


def _write_table(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    columns = ["reconstruction", "editability"]
    columns += [c for c in ("entropy", "largest_share", "expected_share") if rows[0][c] is not None]
    width = max(5, *(len(row["label"]) for row in rows))
    click.echo(f"{'word':<{width}}  vectors  " + "  ".join(f"{c:>14}" for c in columns))
    for row in rows:
        numbers = "  ".join(f"{row[column]:>14.3f}" for column in columns)
        click.echo(f"{row['label']:<{width}}  {row['num_vectors'] or '–':>7}  {numbers}")
