"""Tiny randomly initialised models of Stable Diffusion's and SDXL's shape, made on the spot."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from coti.core.quiet_libraries import quiet_libraries
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.settings import ModelSettings

WORDS = """
a the photo of my rendering cropped clean dirty dark cool close up bright good one rendition
nice small weird large painting in style image boot shoe foot thing ankle
"""


def write_tokenizer(folder: Path) -> None:
    """A CLIP tokenizer whose BPE knows single letters and the words above."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    marks = "<>-_.,0123456789"
    merges: list[tuple[str, str]] = []
    vocabulary = [*letters, *marks, *(f"{c}</w>" for c in letters + marks)]
    for word in WORDS.split():
        left = word[0] if len(word) > 1 else ""
        for place, letter in enumerate(word[1:], start=1):
            right = letter if place < len(word) - 1 else f"{letter}</w>"
            if (left, right) not in merges:
                merges.append((left, right))
                vocabulary.append(left + right)
            left += right
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    ids = {piece: i for i, piece in enumerate(dict.fromkeys(vocabulary))}
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(ids))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": 77, "tokenizer_class": "CLIPTokenizer"})
    )


def write_model(folder: Path, prediction_type: str = "epsilon", sdxl: bool = False) -> Path:
    """A diffusers folder: 32×32 images, 16×16×4 latents, untrained weights from one seed."""
    from diffusers import (
        AutoencoderKL,
        DDPMScheduler,
        StableDiffusionPipeline,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
    )

    torch.manual_seed(0)
    write_tokenizer(folder / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"))

    def text_config(width: int) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=3,
            num_attention_heads=2,
            max_position_embeddings=77,
            projection_dim=24,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    vae = AutoencoderKL(
        block_out_channels=(16, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
    )
    extra: dict[str, object] = {}
    if sdxl:
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 24 + 6 * 8,
        }
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32 + 48 if sdxl else 32,
        attention_head_dim=8,
        norm_num_groups=8,
        **extra,
    )
    scheduler = DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    parts = {
        "vae": vae,
        "unet": unet,
        "scheduler": scheduler,
        "tokenizer": tokenizer,
        "text_encoder": CLIPTextModel(text_config(32)),
    }
    # A larger scale than the library's, so that prompts matter to an untrained model.
    with torch.no_grad():
        parts["text_encoder"].get_input_embeddings().weight.mul_(20)
    if sdxl:
        parts["text_encoder_2"] = CLIPTextModelWithProjection(text_config(48))
        parts["tokenizer_2"] = tokenizer
        pipe = StableDiffusionXLPipeline(**parts)
    else:
        pipe = StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipe.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folder of a tiny model by kind: ``epsilon``, ``v_prediction`` or ``sdxl``."""
    made: dict[str, Path] = {}

    def make(kind: str = "epsilon") -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind) / "model"
            with quiet_libraries(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                prediction = "epsilon" if kind == "sdxl" else kind
                made[kind] = write_model(folder, prediction, sdxl=kind == "sdxl")
        return made[kind]

    return make


@pytest.fixture(scope="session")
def load_model(model_folder: Callable[..., Path]) -> Callable[..., TextToImageModel]:
    """A loaded tiny model by kind; shared, so tests must not change it."""
    loaded: dict[str, TextToImageModel] = {}

    def load(kind: str = "epsilon") -> TextToImageModel:
        if kind not in loaded:
            settings = ModelSettings(
                base_model=str(model_folder(kind)), device="cpu", dtype="float32"
            )
            loaded[kind] = load_text_to_image(settings)
        return loaded[kind]

    return load


@pytest.fixture
def model(load_model: Callable[..., TextToImageModel]) -> TextToImageModel:
    """The tiny epsilon model."""
    return load_model("epsilon")


@pytest.fixture
def images() -> torch.Tensor:
    """Ten 32×32 images, uint8 [10, 3, 32, 32]."""
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (10, 3, 32, 32), generator=generator, dtype=torch.uint8)
