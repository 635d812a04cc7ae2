"""``coti weights``: hashes to pin, and old files turned into safetensors once."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["weights"]

_TARGET = click.Path(dir_okay=False, path_type=Path)
_SOURCE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def weights() -> None:
    """Pin, fetch and convert weights.

    \b
    Examples:
      coti weights hash models/sd15.safetensors
      coti weights fetch s3://bucket/sd15.safetensors --sha256 6ce0161689…
      coti weights embedding old.pt new.safetensors --token "<boot>"
    """


@weights.command("hash")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
def hash_(path: Path) -> None:
    """Print the sha256 of a file or folder, as the sha256 settings take it.

    \b
    Example:
      coti weights hash models/sd15.safetensors
    """
    from coti.core.weights import hash_of

    click.echo(hash_of(path))


@weights.command()
@click.argument("source")
@click.option("--sha256", help="The hash it must have; s3:// needs it.")
def fetch(source: str, sha256: str | None) -> None:
    """Fetch a file or folder (hf://…, s3://…), check it, and print where it lies.

    \b
    Example:
      coti weights fetch s3://bucket/sd15.safetensors --sha256 6ce0161689…
    """
    from coti.core.weights import local_weights

    click.echo(local_weights(source, sha256))


@weights.command("aesthetic-head")
@click.argument("source", type=_SOURCE)
@click.argument("target", type=_TARGET)
@click.option("--sha256", help="Instead of the hash that LAION's published file has.")
def aesthetic_head(source: Path, target: Path, sha256: str | None) -> None:
    """Convert LAION's aesthetic head from its .pth to safetensors, weights only.

    \b
    Example:
      coti weights aesthetic-head sac+logos+ava1-l14-linearMSE.pth models/head.safetensors
    """
    from coti.scores.laion_head import LAION_SHA256, convert_laion_head

    click.echo(convert_laion_head(source, target, sha256 or LAION_SHA256))


@weights.command()
@click.argument("source", type=_SOURCE)
@click.argument("target", type=_TARGET)
@click.option("--token", help="Placeholder token; default: the file's, or <name of the file>.")
def embedding(source: Path, target: Path, token: str | None) -> None:
    """Convert a .pt or .bin embedding of AUTOMATIC1111 or diffusers to safetensors.

    \b
    Example:
      coti weights embedding old.pt new.safetensors --token "<boot>"
    """
    from coti.inversion.adapters.embedding import describe_embedding
    from coti.inversion.convert_embedding import convert_embedding

    found = convert_embedding(source, target, token)
    said = f"{found.token}, {found.num_vectors} vectors, {describe_embedding(found)}"
    click.echo(f"{target}: {said}")
