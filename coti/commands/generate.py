"""``coti generate``: images with learned embeddings."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coti.commands.generation_options import (
    GenerationOptions,
    embedding_options,
    generation_options,
)
from coti.commands.project import project
from coti.core.errors import ConfigError
from coti.core.tokens import holds_token

if TYPE_CHECKING:
    from coti.commands.project import EmbeddingSource

__all__ = ["generate", "new_folder"]

DEFAULT_PROMPT = "a photo of a {}"


@click.command()
@embedding_options
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    help="What to generate; {} stands for the placeholder token. Repeatable. "
    f"[default: {DEFAULT_PROMPT}]",
)
@click.option(
    "--prompts-file",
    type=click.Path(path_type=Path),
    help="A text file with one prompt a line, [headings] between them if you like.",
)
@click.option(
    "--num-images",
    type=click.IntRange(1, 10_000),
    default=4,
    help="Of each prompt.",
)
@click.option("--height", type=click.IntRange(1, 16_384), help="Pixels; the model's without it.")
@click.option("--width", type=click.IntRange(1, 16_384), help="Pixels; the model's without it.")
@click.option(
    "--compare",
    multiple=True,
    type=click.Choice(["without", "cycles", "versions"]),
    help="The same noise without the embedding, after every cycle, or with every version. "
    "Repeatable.",
)
@click.option("--plain-word", help="What `--compare without` says in the token's place.")
@generation_options
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
    how: GenerationOptions,
    output: Path | None,
) -> None:
    """Generate images with learned embeddings.

    Each image is a PNG with its metadata inside (prompt, seed, hashes of model and embedding); a
    contact sheet lies beside them. The same seed gives the same image.

    \b
    Examples:
      coti generate --embedding boot.safetensors --prompt "a photo of a {} on the moon"
      coti generate --embedding latest --compare without --num-images 8
    """
    project().quiet_terminal()
    from coti.commands.embedding_sources import find_embeddings, load_base_model, variants_of
    from coti.core.whole_files import require_writable
    from coti.generation.prompted import compare_embeddings, save_generated
    from coti.generation.prompts import fill_prompts, read_prompts

    texts = list(prompts)
    if prompts_file is not None:
        texts += [text for group in read_prompts(prompts_file).values() for text in group]
    sources = find_embeddings(concepts, embeddings)
    own = [source.embedding for source in sources]
    texts = fill_prompts(texts or [DEFAULT_PROMPT], own)
    _say_unused(sources, texts)
    variants = variants_of(sources, compare) if compare else {"": own}
    network = load_base_model(how, sources)
    settings = how.settings_for(own, network.widths)
    folder = output or new_folder("generated")
    require_writable(folder)
    generated = compare_embeddings(
        network,
        texts,
        variants,
        settings,
        how.seed,
        num_images=num_images,
        negative_prompt=how.negative_prompt,
        size=(height or network.resolution, width or network.resolution),
        plain_word=plain_word,
    )
    columns = num_images if len(texts) > 1 or compare else min(8, num_images)
    paths = save_generated(generated, folder, columns)
    click.echo(f"{len(paths) - 1} images in {folder}; contact sheet: {paths[-1]}")


def _say_unused(sources: list[EmbeddingSource], prompts: list[str]) -> None:
    """An embedding that no prompt uses has no effect; people wonder why."""
    for source in sources:
        token = source.embedding.token
        if not any(holds_token(prompt, token) for prompt in prompts):
            click.echo(
                f"Note: no prompt holds {token} ({source.label}), so it has no effect; write it "
                "into --prompt.",
                err=True,
            )


def new_folder(kind: str) -> Path:
    """A fresh folder below ``outputs/``, named by the time.

    Raises:
        ConfigError: it exists already, which takes two commands in one second.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = project().root / "outputs" / kind / stamp
    if folder.exists():
        raise ConfigError(f"{folder} exists already: name another with --output.")
    return folder
