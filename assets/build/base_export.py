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


def _finish_configs(folder: Path) -> None:
    """Take this machine's paths out of the configs; have the text encoder load as float32.

    transformers loads weights in the type its config names; diffusers always in float32. Left
    alone, a pipeline loaded without a type would mix the two and fail.
    """
    for path in folder.rglob("*config.json"):
        content = json.loads(path.read_text())
        for key in ("_name_or_path", "is_local", "local_files_only"):
            content.pop(key, None)
        if "dtype" in content:
            content["dtype"] = "float32"
        path.write_text(json.dumps(content, indent=2) + "\n")


def _add_vocabulary(folder: Path) -> None:
    """Write ``vocab.json`` and ``merges.txt``, which transformers 4 reads, beside the rest."""
    content = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(content["vocab"], ensure_ascii=False) + "\n")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in content["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")


def export(folder: Path, target: Path) -> None:
    """Save the pipeline in float16 to ``target``; files are replaced one by one, each whole."""
    pipeline = build_pipeline(folder)
    for part in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        torch.nn.Module.to(part, torch.float16)  # diffusers' own .to() warns without cause
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    pipeline.save_pretrained(beside, safe_serialization=True)
    _add_vocabulary(beside / "tokenizer")
    _finish_configs(beside)
    for path in sorted(beside.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(beside)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.chmod(0o644)
            os.replace(path, place)
    shutil.rmtree(beside)
