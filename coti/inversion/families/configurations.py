"""Base models described by diffusers configurations, without weights.

A single-file checkpoint holds weights only: the configurations say what they are. They also build
models of true architecture and random weights where no weights can be had. The tokenizer is CLIP's,
from the merges that open_clip ships, so nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coti.core.errors import ModelError
from coti.inversion.families.registry import family_of_index

__all__ = ["write_configs"]


def write_configs(parts: Mapping[str, Any], folder: Path) -> Path:
    """A diffusers folder of configurations and tokenizers, without weights.

    ``parts`` are one of :func:`coti.inversion.families.registry.architectures`, or such.

    Raises:
        ModelError: open_clip, whose vocabulary is used, is not installed; or no family has such
            parts.
    """
    family = family_of_index(parts, str(folder))
    index: dict[str, Any] = {"_class_name": family.pipeline, **family.index}
    tokenizers = {part.folder: part.tokenizer for part in family.text_encoders}
    for part, config in parts.items():
        where = folder / part
        where.mkdir(parents=True, exist_ok=True)
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        (where / name).write_text(json.dumps(config, indent=1))
        library = "transformers" if part in tokenizers else "diffusers"
        index[part] = [library, config.get("_class_name") or config["architectures"][0]]
        if part in tokenizers:
            index[tokenizers[part]] = ["transformers", "CLIPTokenizer"]
            # OpenCLIP's towers were trained on captions padded with token 0, CLIP's own with the
            # end token.
            open_clip_tower = config["hidden_act"] == "gelu"
            _write_tokenizer(folder / tokenizers[part], "!" if open_clip_tower else "<|endoftext|>")
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))
    return folder


def _write_tokenizer(folder: Path, pad_token: str) -> None:
    """CLIP's byte-pair vocabulary, 49,408 pieces, in the files that transformers reads."""
    try:
        from open_clip.tokenizer import SimpleTokenizer
    except ImportError as error:
        raise ModelError("open_clip is not installed: `pip install open_clip_torch`.") from error
    known = SimpleTokenizer()
    start, end = "<|startoftext|>", "<|endoftext|>"
    renamed = {"<start_of_text>": start, "<end_of_text>": end}
    vocabulary = {renamed.get(piece, piece): i for piece, i in known.encoder.items()}
    merges = sorted(known.bpe_ranks, key=known.bpe_ranks.__getitem__)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": start,
        "eos_token": end,
        "unk_token": end,
        "pad_token": pad_token,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
