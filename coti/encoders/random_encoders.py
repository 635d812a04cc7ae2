"""Encoders of true architecture with random weights, written as a user with local copies has them.

Shapes, speed and memory are the real models'; what they see means nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from coti.core.errors import ModelError
from coti.core.extras import install_extra

__all__ = [
    "inception_network",
    "random_tensors",
    "write_inception",
    "write_open_clip",
    "write_timm",
]

_WORDS = ("<pad>", "</s>", "<unk>", "a", "photo", "of")
"""Of a tokenizer that stands in for one that is on a hub: ids, length and end mark are as there."""


def random_tensors(
    shapes: Mapping[str, torch.Tensor], dtype: torch.dtype = torch.float16
) -> dict[str, torch.Tensor]:
    """Weights of such shapes that keep what goes through them finite: matrices of small normal
    numbers, scales of 1, offsets of 0. Whole numbers stay as large as they need be: 0."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, like in shapes.items():
        if not like.is_floating_point():
            found[name] = torch.zeros(like.shape, dtype=like.dtype)
        elif like.ndim > 1:
            found[name] = (torch.randn(like.shape, generator=generator) * 0.02).to(dtype)
        elif name.endswith(("bias", "running_mean")):
            found[name] = torch.zeros(like.shape, dtype=dtype)
        else:
            found[name] = torch.ones(like.shape, dtype=dtype)
    return found


def write_open_clip(name: str, tag: str | None, folder: Path) -> Path:
    """A folder in open_clip's format of a model that it knows by name.

    Args:
        name: of open_clip's list.
        tag: of weights, which says how images are prepared; none: as the model's first.
        folder: where it is written.

    Raises:
        ModelError: open_clip knows no such model.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg
    from safetensors.torch import save_file

    with _quiet():
        config = open_clip.get_model_config(name)
        if config is None:
            raise ModelError(f"open_clip knows no model {name!r}: take one of its names.")
        with torch.device("meta"):
            network = open_clip.create_model(name, pretrained=None, device="meta")
    tags = open_clip.list_pretrained_tags_by_model(name)
    way = get_pretrained_cfg(name, tag if tag in tags else (tags or [""])[0]) or {}
    known = ("mean", "std", "interpolation", "resize_mode")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(random_tensors(network.state_dict()), folder / "open_clip_model.safetensors")
    described = {"model_cfg": config, "preprocess_cfg": {k: way[k] for k in known if k in way}}
    (folder / "open_clip_config.json").write_text(json.dumps(described), encoding="utf-8")
    if "hf_tokenizer_name" in config.get("text_cfg", {}):
        _write_tokenizer(folder)
    return folder


def write_timm(name: str, folder: Path) -> Path:
    """A folder as timm writes it, of a model that it knows by name.

    Raises:
        ModelError: timm knows no such model.
    """
    import timm
    from safetensors.torch import save_file

    architecture, _, _ = name.partition(".")
    known = timm.get_pretrained_cfg(name) if timm.is_model(architecture) else None
    if known is None:
        raise ModelError(f"timm knows no model {name!r}: take a name of timm.list_models().")
    with _quiet():
        network = timm.create_model(name, pretrained=False, num_classes=0)
    folder.mkdir(parents=True, exist_ok=True)
    # In float32, as its loader fits a table of places to another number of pixels.
    save_file(random_tensors(network.state_dict(), torch.float32), folder / "model.safetensors")
    kept = ("input_size", "mean", "std", "fixed_input_size", "first_conv", "classifier")
    values = {key: value for key, value in asdict(known).items() if key in kept}
    described = {"architecture": architecture, "pretrained_cfg": {**values, "num_classes": 0}}
    (folder / "config.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


def inception_network() -> Any:
    """Inception-v3 as torch-fidelity has it, with random weights.

    Raises:
        ModelError: torch-fidelity is not installed.
    """
    try:
        from torch_fidelity import feature_extractor_inceptionv3 as library
    except ImportError as error:
        raise ModelError(f"torch-fidelity is not installed: {install_extra('fid')}.") from error

    class Unread(library.FeatureExtractorInceptionV3):  # type: ignore[misc]
        """The network without its weights, which it otherwise always reads."""

        def load_state_dict(self, *_: Any, **__: Any) -> None:
            """Nothing."""

    with _quiet(), _no_download(library):
        return Unread("inception-v3-compat", ["2048"])


def write_inception(path: Path) -> Path:
    """Its weights in the format that torch-fidelity publishes.

    Raises:
        ModelError: torch-fidelity is not installed.
    """
    network = inception_network()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return path


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    transformers: Any = import_module("transformers")

    ids = {word: number for number, word in enumerate(_WORDS)}
    tokenizer = Tokenizer(models.WordLevel(ids, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", ids["</s>"])]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(str(folder))


@contextmanager
def _no_download(library: Any) -> Iterator[None]:
    """The library asks for its published file while it makes the network."""
    before = library.load_state_dict_from_url
    library.load_state_dict_from_url = lambda *_, **__: {}
    try:
        yield
    finally:
        library.load_state_dict_from_url = before


@contextmanager
def _quiet() -> Iterator[None]:
    """They say at length that weights are random."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
