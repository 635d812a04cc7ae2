"""Where a learned word comes from: a file, a run's folder, or the registry."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coti.core.errors import EmbeddingError, RegistryError
from coti.inversion.adapters.embedding import Embedding
from ops.quiet import ROOT

if TYPE_CHECKING:
    from cli.drawing_options import DrawingOptions
    from coti.inversion.base_model import TextToImageModel
    from ops.registry.published import Published

__all__ = [
    "WordSource",
    "base_model_of",
    "find_words",
    "load_base_model",
    "origin_of_word",
    "registry",
    "variants_of",
]

OUTPUTS = ROOT / "outputs"
_ORIGIN = ("revision", "sha256", "config")
DEFAULT_MODEL = "assets/models/base"


@dataclass(frozen=True)
class WordSource:
    """A learned word, and what is known of where it came from."""

    embedding: Embedding
    label: str
    run: str | None = None
    """MLflow's id of its training run, if it is registered."""
    folder: Path | None = None
    """The run's folder, or the folder of its file."""


def registry() -> Published:
    """The registry that the active stack tracks to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that ZenML imports
        from ops.registry.published import Published
        from ops.tracking.active_tracker import tracking_uri

        return Published.at(tracking_uri())


def find_words(concepts: Sequence[str], files: Sequence[str]) -> list[WordSource]:
    """The words of all ``--concept`` and ``--embedding`` options, concepts first.

    ``=<token>`` at the end of either gives the word another token.

    Raises:
        EmbeddingError, RegistryError: one of them does not exist or is no embedding.
    """
    words = []
    for given in concepts:
        name, token = _split_token(given)
        concept, _, which = name.partition("@")
        if not concept:
            raise RegistryError(f"--concept {given!r} names no concept: give NAME[@alias|version].")
        found = registry().find(concept, which or "champion")
        source = WordSource(_renamed(found.embedding, token), found.label, found.run_id)
        words.append(source)
    for given in files:
        name, token = _split_token(given)
        path = _file_of(name)
        embedding = _renamed(Embedding.load(path), token)
        folder = path if path.is_dir() else path.parent
        words.append(WordSource(embedding, _label_of(path), folder=folder.resolve()))
    return words


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
    path = Path(name).expanduser()
    for candidate in (path, ROOT / path, OUTPUTS / name):
        if candidate.exists():
            return candidate
    runs = sorted(each.name for each in OUTPUTS.glob("*/learned_embeds.safetensors"))
    hint = " (latest is the newest run)" if runs else " (there is no run yet: `make quickstart`)"
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


def variants_of(words: Sequence[WordSource], compare: Sequence[str]) -> dict[str, list[Embedding]]:
    """What ``--compare`` sets side by side: label to words.

    ``without``: no learned word; ``cycles``: the first word after every cycle of its training;
    ``versions``: all registered versions of its concept. The other words stay as they are.

    Raises:
        EmbeddingError: there is no word to compare, or its run or concept is not recorded.
    """
    if not words:
        raise EmbeddingError("--compare needs a learned word: give --concept or --embedding.")
    first, others = words[0], [word.embedding for word in words[1:]]
    token = first.embedding.token
    variants: dict[str, list[Embedding]] = {}
    if "without" in compare:
        variants["without"] = []
    if "cycles" in compare:
        for found in registry().cycles(_training_run(first)):
            variants[found.label] = [replace(found.embedding, token=token), *others]
    if "versions" in compare:
        concept = first.embedding.metadata.get("concept")
        if concept is None:
            raise EmbeddingError(
                f"{first.label} does not say which concept it is, so its versions are not known: "
                "give --concept NAME."
            )
        published = registry()
        for version in published.versions(concept):
            found = published.word_of(version)
            variants[found.label] = [replace(found.embedding, token=token), *others]
    if not {"cycles", "versions"} & set(compare):
        variants[first.label] = [first.embedding, *others]
    return variants


def _training_run(word: WordSource) -> str:
    """MLflow's id of the run that trained a word."""
    if word.run is not None:
        return word.run
    name = word.folder.name if word.folder is not None else ""
    found = registry().run_of(name)
    if found is None:
        raise EmbeddingError(
            f"The cycles of {word.label} are not known: its folder is no run that MLflow tracked. "
            "Give a run's folder below outputs/, or --concept NAME."
        )
    return found


def base_model_of(option: str | None, words: Sequence[WordSource]) -> str:
    """``--model``, or the base model that the words were trained on, or the bundled one.

    Raises:
        EmbeddingError: the words were trained on different models and ``--model`` is not given.
    """
    if option is not None:
        return option
    named = {word.embedding.metadata.get("base_model", "") for word in words} - {""}
    if len(named) > 1:
        raise EmbeddingError(
            f"The embeddings were trained on different base models ({', '.join(sorted(named))}): "
            "say with --model which one draws."
        )
    return named.pop() if named else DEFAULT_MODEL


def origin_of_word(word: Embedding) -> dict[str, str]:
    """``revision``, ``sha256`` and ``config`` of the model that a word was trained on."""
    named = {name: word.metadata.get(f"base_model_{name}") for name in _ORIGIN}
    return {name: value for name, value in named.items() if value}


def load_base_model(drawing: DrawingOptions, words: Sequence[WordSource]) -> TextToImageModel:
    """The model that draws; says on stderr where a word was trained on another state of it."""
    from typing import Any, cast

    from coti.settings import ModelSettings
    from ops.stack.loaded_models import text_to_image

    name = base_model_of(drawing.model, words)
    origin = drawing.origin
    for word in words:
        if not origin and word.embedding.metadata.get("base_model") == name:
            origin = origin_of_word(word.embedding)
    settings = ModelSettings(
        base_model=name, device=drawing.device, dtype=cast(Any, drawing.dtype), **origin
    )
    model = text_to_image(settings)
    for word in words:
        trained_on = word.embedding.metadata.get("base_model_fingerprint")
        if trained_on not in (None, model.fingerprint):
            click.echo(
                f"Note: {word.label} was trained on another state of {name}, or on another model; "
                "its images may be off.",
                err=True,
            )
    return model
