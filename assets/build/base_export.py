"""Write the base model as the folder ``StableDiffusionPipeline.from_pretrained`` loads."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPTokenizer

from assets.build.autoencoder import load_autoencoder
from assets.build.diffusion import build_schedule, load_average


def build_pipeline(folder: Path) -> StableDiffusionPipeline:
    """The pipeline of the averaged weights of the last checkpoint, float32."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    model = load_average(folder, tokenizer)
    return StableDiffusionPipeline(
        vae=load_autoencoder(folder),
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=build_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _forget_paths(folder: Path) -> None:
    """Take this machine's paths out of the written configs."""
    for path in folder.rglob("*.json"):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and "_name_or_path" in content:
            del content["_name_or_path"]
            path.write_text(json.dumps(content, indent=2) + "\n")


def export(folder: Path, target: Path) -> None:
    """Save the pipeline in float16 to ``target``; files are replaced one by one, each whole."""
    pipeline = build_pipeline(folder).to(torch.float16)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    pipeline.save_pretrained(beside, safe_serialization=True)
    _forget_paths(beside)
    for path in sorted(beside.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(beside)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.chmod(0o644)
            os.replace(path, place)
    shutil.rmtree(beside)
