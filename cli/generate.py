"""``coti generate``: images with learned words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.drawing_options import DrawingOptions, drawing_options, word_options
from coti.core.errors import ConfigError
from ops.quiet import ROOT, quiet_terminal

if TYPE_CHECKING:
    from cli.word_sources import WordSource

__all__ = ["generate", "new_folder"]

DEFAULT_PROMPT = "a photo of a {}"


@click.command()
@word_options
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    help=f"What to draw; {{}} stands for the word's token. Repeatable. [default: {DEFAULT_PROMPT}]",
)
@click.option(
    "--prompts-file",
    type=click.Path(path_type=Path),
    help="A text file with one prompt a line, [headings] between them if you like.",
)
@click.option(
    "--num-images", type=click.IntRange(1), default=4, show_default=True, help="Of each prompt."
)
@click.option("--height", type=click.IntRange(1), help="Pixels; the model's without it.")
@click.option("--width", type=click.IntRange(1), help="Pixels; the model's without it.")
@click.option(
    "--compare",
    multiple=True,
    type=click.Choice(["without", "cycles", "versions"]),
    help="Draw the same noise without the word, after every cycle, or with every version. "
    "Repeatable.",
)
@click.option("--plain-word", help="What `--compare without` says in the word's place.")
@drawing_options
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Folder.")
def generate(
    concepts: tuple[str, ...],
    embeddings: tuple[str, ...],
    prompts: tuple[str, ...],
    prompts_file: Path | None,
    num_images: int,
    height: int | None,
    width: int | None,
    compare: tuple[str, ...],
    plain_word: str | None,
    drawing: DrawingOptions,
    output: Path | None,
) -> None:
    """Draw images with learned words.

    Each image is a PNG with its metadata inside (prompt, seed, hashes of model and embedding); a
    contact sheet lies beside them. The same seed gives the same image.
    """
    quiet_terminal()
    from cli.word_sources import find_words, load_base_model, variants_of
    from coti.generation.prompted import compare_embeddings, generate_prompts, save_generated
    from coti.generation.prompts import fill_prompts, read_prompts

    texts = list(prompts)
    if prompts_file is not None:
        texts += [text for group in read_prompts(prompts_file).values() for text in group]
    words = find_words(concepts, embeddings)
    own = [word.embedding for word in words]
    texts = fill_prompts(texts or [DEFAULT_PROMPT], own)
    _say_unused(words, texts)
    variants = variants_of(words, compare) if compare else {}
    network = load_base_model(drawing, words)
    size = (height or network.resolution, width or network.resolution)
    if variants:
        drawings = compare_embeddings(
            network,
            texts,
            variants,
            drawing.settings,
            drawing.seed,
            num_images=num_images,
            negative_prompt=drawing.negative_prompt,
            size=size,
            plain_word=plain_word,
        )
    else:
        drawn = generate_prompts(
            network,
            texts,
            own,
            drawing.settings,
            drawing.seed,
            num_images=num_images,
            negative_prompt=drawing.negative_prompt,
            size=size,
        )
        drawings = {"": drawn}
    columns = num_images if len(texts) > 1 or variants else min(8, num_images)
    folder = output or new_folder("generated")
    paths = save_generated(drawings, folder, columns)
    click.echo(f"{len(paths) - 1} images in {folder}; contact sheet: {paths[-1]}")


def _say_unused(words: list[WordSource], prompts: list[str]) -> None:
    """A word that no prompt uses has no effect; people wonder why."""
    for word in words:
        token = word.embedding.token
        if not any(token in prompt for prompt in prompts):
            click.echo(
                f"Note: no prompt holds {token} ({word.label}), so it has no effect; write it "
                "into --prompt.",
                err=True,
            )


def new_folder(kind: str) -> Path:
    """A fresh folder below ``outputs/``, named by the time.

    Raises:
        ConfigError: it exists already, which takes two commands in one second.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = ROOT / "outputs" / kind / stamp
    if folder.exists():
        raise ConfigError(f"{folder} exists already: name another with --output.")
    return folder
