"""Where a learned embedding comes from: a file, a run's folder, or the registry."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from coti.commands.project import EmbeddingSource, project
from coti.core.errors import EmbeddingError, RegistryError
from coti.core.file_rules import user_path
from coti.settings import ModelSettings

if TYPE_CHECKING:
    from coti.commands.generation_options import GenerationOptions
    from coti.inversion.adapters.embedding import Embedding
    from coti.inversion.base_model import TextToImageModel

__all__ = [
    "base_model_of",
    "find_embeddings",
    "load_base_model",
    "model_named_by",
    "origin_of_embedding",
    "variants_of",
]

_ORIGIN = ("revision", "sha256", "config")


def find_embeddings(concepts: Sequence[str], files: Sequence[str]) -> list[EmbeddingSource]:
    """The embeddings of all ``--concept`` and ``--embedding`` options, concepts first.

    ``=<token>`` at the end of either gives the embedding another placeholder token.

    Raises:
        EmbeddingError, RegistryError: one of them does not exist or is no embedding.
    """
    sources = []
    for given in concepts:
        name, token = _split_token(given)
        concept, _, which = name.partition("@")
        if not concept:
            raise RegistryError(f"--concept {given!r} names no concept: give NAME[@alias|version].")
        found = project().tracking().version(concept, which or "champion")
        sources.append(replace(found, embedding=_renamed(found.embedding, token)))
    for given in files:
        name, token = _split_token(given)
        path = _file_of(name)
        from coti.inversion.adapters.embedding import Embedding  # torch comes with it

        found_here = Embedding.load(path)
        said = found_here.metadata.get("token_in_file")
        if said is not None and token is None:
            click.echo(
                f"Note: {name} calls its token {said}; tokenizers read small letters, so here it "
                f"is {found_here.token}.",
                err=True,
            )
        embedding = _renamed(found_here, token)
        folder = path if path.is_dir() else path.parent
        sources.append(EmbeddingSource(embedding, _label_of(path), folder=folder.resolve()))
    return sources


def _split_token(given: str) -> tuple[str, str | None]:
    """``source=<token>`` to both; a path that holds ``=`` stays whole."""
    name, mark, token = given.rpartition("=")
    if not mark or Path(given).exists():
        return given, None
    if not token:
        raise EmbeddingError(f"{given!r} ends in =: write the new token after it, or leave it out.")
    return name, token


def _renamed(embedding: Embedding, token: str | None) -> Embedding:
    return embedding if token is None else replace(embedding, token=token)


def _file_of(name: str) -> Path:
    """The path of a file, a folder, or a run below ``outputs/`` by its name."""
    root, path = project().root, user_path(name)
    for candidate in (path, root / path, root / "outputs" / name):
        if candidate.exists():
            return candidate
    runs = any((root / "outputs").glob("*/learned_embeds.safetensors"))
    hint = " (latest is the newest run)" if runs else " (there is no run yet)"
    raise EmbeddingError(
        f"There is no embedding {name!r}: give a .safetensors file, a run's folder, or a run's "
        f"name below outputs/{hint}."
    )


def _label_of(path: Path) -> str:
    """A run's folder or file by a short name."""
    whole = path.resolve()
    if whole.name == "learned_embeds.safetensors":
        whole = whole.parent
    return whole.name if whole.is_dir() else whole.stem


def variants_of(
    sources: Sequence[EmbeddingSource], compare: Sequence[str]
) -> dict[str, list[Embedding]]:
    """What ``--compare`` sets side by side: label to embeddings.

    ``without``: no embedding; ``cycles``: the first one after every cycle of its training;
    ``versions``: all registered versions of its concept. The other embeddings stay as they are.

    Raises:
        EmbeddingError: there is nothing to compare, or its run or concept is not recorded.
    """
    if not sources:
        raise EmbeddingError("--compare needs an embedding: give --concept or --embedding.")
    first, others = sources[0], [source.embedding for source in sources[1:]]
    found: list[EmbeddingSource] = []
    if "cycles" in compare:
        found += project().tracking().cycles(_training_run(first))
    if "versions" in compare:
        concept = first.embedding.metadata.get("concept")
        if concept is None:
            raise EmbeddingError(
                f"{first.label} does not say which concept it is, so its versions are not known: "
                "give --concept NAME."
            )
        found += project().tracking().versions(concept)
    variants: dict[str, list[Embedding]] = {"without": []} if "without" in compare else {}
    for each in found or [first]:
        own = replace(each.embedding, token=first.embedding.token)
        variants[each.label] = [own, *others]
    return variants


def _training_run(source: EmbeddingSource) -> str:
    """MLflow's id of the run that trained an embedding."""
    if source.run is not None:
        return source.run
    name = source.folder.name if source.folder is not None else ""
    found = project().tracking().run_of(name)
    if found is None:
        raise EmbeddingError(
            f"The cycles of {source.label} are not known: its folder is no run that MLflow "
            "tracked. Give a run's folder below outputs/, or --concept NAME."
        )
    return found


def base_model_of(option: str | None, sources: Sequence[EmbeddingSource]) -> str:
    """``--model``, or the base model that the embeddings were trained on, or the default's.

    Raises:
        EmbeddingError: they were trained on different models and ``--model`` is not given.
    """
    if option is not None:
        return option
    named = {source.embedding.metadata.get("base_model", "") for source in sources} - {""}
    if len(named) > 1:
        raise EmbeddingError(
            f"The embeddings were trained on different base models ({', '.join(sorted(named))}): "
            "say with --model which one generates."
        )
    return named.pop() if named else ModelSettings().base_model


def model_named_by(source: EmbeddingSource, settings: ModelSettings) -> ModelSettings:
    """The settings with the base model that an embedding's file names, found on this machine.

    Whoever made the file chose the name: nobody is asked for it, least of all with the user's
    credentials, which the hub and a store would be.

    Raises:
        EmbeddingError: it is not here; says how the user asks for it.
    """
    from coti.inversion.model_files import model_on_this_machine

    located = located_model(settings)
    found = model_on_this_machine(located)
    if found is None:
        options = {
            "--model": settings.base_model,
            **_as_options(origin_of_embedding(source.embedding)),
        }
        given = " ".join(f"{name} {shlex.quote(value)}" for name, value in options.items())
        raise EmbeddingError(
            f"{source.label} says that it was trained on {settings.base_model!r}, which is not on "
            "this machine, and nothing is fetched from a place that a file names. If you trust it, "
            f"ask for it yourself, `{given}`, or name another model with --model."
        )
    checked = settings.base_model.startswith(
        "s3://"
    )  # its hash found it, and was that of its bytes
    sha256 = None if checked else located.sha256
    return replace(located, base_model=str(found), revision=None, sha256=sha256)


def _as_options(origin: dict[str, str]) -> dict[str, str]:
    """Where a base model comes from as the command's options say it."""
    names = {"revision": "--revision", "sha256": "--sha256", "config": "--model-config"}
    return {names[name]: value for name, value in origin.items()}


def origin_of_embedding(embedding: Embedding) -> dict[str, str]:
    """``revision``, ``sha256`` and ``config`` of the model that an embedding was trained on."""
    named = {name: embedding.metadata.get(f"base_model_{name}") for name in _ORIGIN}
    return {name: value for name, value in named.items() if value}


def load_base_model(how: GenerationOptions, sources: Sequence[EmbeddingSource]) -> TextToImageModel:
    """The model that generates; says on stderr where an embedding is of another state of it."""
    from coti.inversion.base_model import load_text_to_image, origin_of

    name = base_model_of(how.model, sources)
    origin = how.origin
    for source in sources:
        if not origin and source.embedding.metadata.get("base_model") == name:
            origin = origin_of_embedding(source.embedding)
    settings = ModelSettings(
        base_model=name, device=how.device, dtype=cast(Any, how.dtype), **cast(Any, origin)
    )
    naming = [s for s in sources if s.embedding.metadata.get("base_model")]
    if how.model is None and naming:
        located = model_named_by(naming[0], settings)
    else:
        located = located_model(settings)
    # It keeps the name that the user gave it, wherever that lies on this machine.
    model = replace(load_text_to_image(located), name=name, origin=origin_of(settings))
    for source in sources:
        trained_on = source.embedding.metadata.get("base_model_fingerprint")
        if trained_on not in (None, model.fingerprint):
            click.echo(
                f"Note: {source.label} was trained on another state of {name}, or on another "
                "model; its images may be off.",
                err=True,
            )
    return model


def located_model(settings: ModelSettings) -> ModelSettings:
    """The settings with their folders or files found."""
    locate = project().locate
    return replace(
        settings,
        base_model=locate(settings.base_model),
        config=settings.config and locate(settings.config),
    )
