"""Randomly initialised models of true architecture, for speed and memory where no weights are."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from coti.inversion.model import quiet_libraries

__all__ = ["write_random_sd2"]


def write_random_sd2(folder: Path) -> Path:
    """Stable Diffusion 2's shape at 512²: 865 M UNet, ViT-H text tower, its autoencoder.

    Weights are random, the vocabulary's pieces are made up (49,408 of them): shapes, memory and
    speed are the real model's, pictures are not.
    """
    diffusers: Any = import_module("diffusers")
    transformers: Any = import_module("transformers")

    torch.manual_seed(0)
    where = folder / "tokenizer"
    where.mkdir(parents=True)
    letters = [chr(c) for c in range(33, 127)]
    pieces = [*letters, *(f"{c}</w>" for c in letters), "ph", "pho", "phot", "photo</w>"]
    pieces += [f"piece{i}" for i in range(49_406 - len(pieces))]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    (where / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (where / "merges.txt").write_text("#version: 0.2\np h\nph o\npho t\nphot o</w>\n")
    (where / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    with quiet_libraries():
        tokenizer = transformers.CLIPTokenizer.from_pretrained(str(where))
        text = transformers.CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=23,
            num_attention_heads=16,
            hidden_act="gelu",
            projection_dim=512,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        unet = diffusers.UNet2DConditionModel(
            sample_size=64,
            cross_attention_dim=1024,
            attention_head_dim=(5, 10, 20, 20),
            use_linear_projection=True,
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
            sample_size=512,
        )
        scheduler = diffusers.DDPMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=False,
            steps_offset=1,
        )
        pipeline = diffusers.StableDiffusionPipeline(
            vae=vae,
            text_encoder=transformers.CLIPTextModel(text),
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.to(torch.float16).save_pretrained(str(folder))
    return folder
