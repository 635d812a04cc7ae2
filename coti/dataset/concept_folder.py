"""An embedding as others share it: a Hugging Face concept folder, and the web UIs' file names.

The layout is that of the ``sd-concepts-library``: ``learned_embeds.safetensors``,
``token_identifier.txt``, ``type_of_concept.txt``, ``concept_images/`` and a model card.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from coti.core.whole_files import whole_folder
from coti.dataset.markdown import code, plain, quoted, rows
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.adapters.embedding_file import embedding_file_name
from coti.inversion.families.registry import family_with_keys

__all__ = ["ConceptCard", "write_concept_folder"]


@dataclass(frozen=True)
class ConceptCard:
    """What the model card says."""

    concept: str
    kind: Literal["object", "style"]
    base_model: str
    license: str
    """An SPDX identifier, or ``other``."""
    metrics: Mapping[str, object] = field(default_factory=dict)
    """Of the registered version, by name."""
    lineage: Mapping[str, str] = field(default_factory=dict)
    """Hashes and identifiers of what it was made of, by name."""


def write_concept_folder(
    folder: Path,  # must not exist yet, or be empty
    embedding_file: Path,  # the registered one
    images: Sequence[Path],  # for concept_images/; may be empty
    card: ConceptCard,  # contents of README.md
) -> Path:
    """Write the folder; whole or not at all.

    The file is copied byte for byte, and written once more under the key that all web UIs take.

    Raises:
        StoreError: ``folder`` holds something already.
    """
    with whole_folder(folder) as part:
        embedding = Embedding.load(embedding_file)
        token = embedding.token
        (part / "concept_images").mkdir()
        (part / "webui").mkdir()
        shutil.copyfile(embedding_file, part / "learned_embeds.safetensors")
        embedding.save(part / "webui" / embedding_file_name(token), "emb_params")
        (part / "token_identifier.txt").write_text(token, encoding="utf-8")
        (part / "type_of_concept.txt").write_text(card.kind, encoding="utf-8")
        for number, image in enumerate(images):
            shutil.copyfile(image, part / "concept_images" / f"{number}{image.suffix}")
        page = _card(card, token, len(images), _loading(embedding))
        (part / "README.md").write_text(page, encoding="utf-8")
    return folder


def _loading(embedding: Embedding) -> list[str]:
    """Lines of Python that give a diffusers pipeline the embedding, a call a text encoder."""
    token, family = embedding.token, family_with_keys(embedding.keys)
    if not embedding.keys or family is None:
        return [f'pipe.load_textual_inversion("learned_embeds.safetensors", token={token!r})']
    lines = [
        "from safetensors.torch import load_file",
        "",
        'embedding = load_file("learned_embeds.safetensors")',
    ]
    for part in family.text_encoders:
        lines += [
            f'pipe.load_textual_inversion(embedding["{part.key}"], token={token!r},',
            f"                            text_encoder=pipe.{part.folder}, "
            f"tokenizer=pipe.{part.tokenizer})",
        ]
    return lines


def _card(card: ConceptCard, token: str, images: int, loading: list[str]) -> str:
    name = embedding_file_name(token)
    lines = [
        "---",
        f"license: {quoted(card.license)}",
        f"base_model: {quoted(card.base_model)}",
        "tags: [stable-diffusion, textual_inversion, coti]",
        "---",
        "",
        f"# {plain(card.concept)}",
        "",
        f"{code(token)} is a placeholder token for {code(card.base_model)} ({card.kind}), "
        "learned by controllable textual inversion (COTI).",
        "",
        "```python",
        *loading,
        f"pipe({f'a photo of a {token}'!r}).images[0]",
        "```",
        "",
        f"AUTOMATIC1111 (`embeddings/`), ComfyUI (`models/embeddings/`) and InvokeAI take "
        f"`webui/{name}`; there the file's name, `{name.removesuffix('.safetensors')}`, is the "
        "word to write.",
        "",
        "## Metrics",
        "",
        *rows(card.metrics),
        "",
        "Fréchet distance and kernel distance are on the judge's features unless the name says "
        "Inception; they compare versions of this concept alone.",
        "",
        "## License",
        "",
        f"Of the embedding: {plain(card.license)}. The base model's license holds for what is "
        "generated with it; the images in `concept_images/` keep the license of their source.",
        "",
        "## Lineage",
        "",
        *rows(card.lineage),
        "",
    ]
    if images:
        shown = "".join(f"![](concept_images/{number}.png)" for number in range(images))
        lines += ["## Concept images", "", shown, ""]
    return "\n".join(lines)
