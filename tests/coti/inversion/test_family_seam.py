"""A family of base models added from outside, in this one file, is loaded, trained and sampled."""

from __future__ import annotations

# ruff: noqa: D102 (the protocol says what each method does)
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file

from coti.core.errors import ModelError
from coti.generation.sampler import generate
from coti.inversion.adapters.embedding import Embedding, describe_embedding
from coti.inversion.base_model import load_text_to_image
from coti.inversion.families.protocol import Conditioning, TextEncoderPart
from coti.inversion.families.registry import FAMILIES, architectures, family_of_index
from coti.inversion.families.stable_diffusion import StableDiffusion
from coti.inversion.safety import inspect_embedding, vocabulary_of
from coti.inversion.trainer import train_cycle
from coti.settings import (
    GenerationSettings,
    ModelSettings,
    ScheduleSettings,
    TokenSettings,
    TrainSettings,
)


class Toy(StableDiffusion):
    """Prompts are the mean of their places, latents twice as large, and its file has a key."""

    pipeline: ClassVar[str] = "ToyPipeline"
    text_encoders: ClassVar[tuple[TextEncoderPart, ...]] = (
        TextEncoderPart("text_encoder", "CLIPTextModel", "tokenizer", "toy"),
    )
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "toy": StableDiffusion.architectures["sd15"]
    }
    made_for: ClassVar[Mapping[tuple[int, ...], str]] = {(32,): "the toy"}

    def reads(self, index: Mapping[str, Any]) -> bool:
        return index["_class_name"] == self.pipeline

    def recognise(self, shapes: Mapping[str, Sequence[int]], name: str) -> str | None:
        return "toy" if "toy" in shapes else None

    def encode(self, *given: Any) -> Conditioning:
        hidden = super().encode(*given).hidden
        return Conditioning(hidden.mean(dim=1, keepdim=True))

    def to_latents(self, vae: Any, raw: torch.Tensor) -> torch.Tensor:
        return 2 * super().to_latents(vae, raw)

    def from_latents(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        return super().from_latents(vae, latents) / 2


@pytest.fixture
def toy_folder(
    model_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The tiny model, as if another pipeline had saved it, with the family registered."""
    monkeypatch.setattr(FAMILIES, "targets", dict(FAMILIES.targets))
    FAMILIES.register("toy", f"{__name__}:Toy")
    folder = shutil.copytree(model_folder(), tmp_path / "model")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "ToyPipeline"}))
    return folder


def test_a_family_from_outside_goes_all_the_way(
    toy_folder: Path, images: torch.Tensor, tmp_path: Path
) -> None:
    """Loaded, trained, saved under its key, found sound, loaded again and sampled."""
    model = load_text_to_image(
        ModelSettings(base_model=str(toy_folder), device="cpu", dtype="float32")
    )
    assert isinstance(model.family, Toy)
    start = Embedding.initial(model, TokenSettings("<t>", "boot"))
    steps = TrainSettings(max_steps=3, batch_size=2)
    result = train_cycle(model, images, None, start, steps, ScheduleSettings(), None, 0)
    assert not torch.equal(result.embedding.parts[0], start.parts[0])
    path = result.embedding.save(tmp_path / "toy.safetensors")
    assert list(load_file(path)) == ["toy"]
    assert inspect_embedding(path, vocabulary_of(model)) == []
    back = Embedding.load(path)
    assert back.token == "<t>"
    assert describe_embedding(back) == "for the toy"
    few = GenerationSettings(num_inference_steps=2)
    found = generate(model, ["a photo of a <t>"], [back], few, 0)
    assert found.shape == (1, 3, 32, 32)
    assert torch.equal(model.from_latents(model.to_latents(torch.ones(1))), torch.ones(1))


@pytest.mark.usefixtures("toy_folder")
def test_a_family_from_outside_is_listed() -> None:
    """Its architecture by name, and what a file without a family is told."""
    assert list(architectures())[-1] == "toy"
    says = "x is a FluxPipeline, which no family .* give one for ToyPipeline, StableDiffusionXL"
    with pytest.raises(ModelError, match=says):
        family_of_index({"_class_name": "FluxPipeline", "transformer": []}, "x")


def test_a_family_whose_key_another_has_too_leaves_that_ones_files_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file of two keys is SDXL's, whoever was registered last."""
    monkeypatch.setattr(FAMILIES, "targets", dict(FAMILIES.targets))
    monkeypatch.setattr(Toy, "text_encoders", (Toy.text_encoders[0]._replace(key="clip_g"),))
    FAMILIES.register("toy", f"{__name__}:Toy")
    for keys in (("clip_g",), ("clip_l", "clip_g")):
        parts = tuple(torch.ones(2, 8) for _ in keys)
        path = Embedding("<t>", parts, {}, keys).save(tmp_path / "t.safetensors")
        assert Embedding.load(path).keys == keys
