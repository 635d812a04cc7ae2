"""OneTrainer: ``concepts.json`` for the images, ``train.json`` for the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from coti.dataset.trainers.captions import write_texts
from coti.dataset.trainers.protocol import Job

__all__ = ["OneTrainer"]


class OneTrainer:
    """Its configuration says what differs from its defaults, and is completed by it."""

    label = "OneTrainer"
    formats = frozenset(("JPEG", "PNG", "WEBP", "BMP", "TIFF"))

    def image_file(self, stem: str, suffix: str) -> str:
        """In one folder."""
        return f"images/{stem}{suffix}"

    def mask_file(self, stem: str, suffix: str) -> str:
        """Beside its image, as a PNG; others are not looked for."""
        return f"images/{stem}-masklabel.png" if suffix == ".png" else ""

    def write(self, folder: Path, job: Job) -> None:
        """A text beside each image, the concept, and the configuration."""
        write_texts(folder, job)
        concept = {
            "name": job.name,
            "path": "images",
            "seed": 0,
            "enabled": True,
            "include_subdirectories": False,
            "image_variations": 1,
            "text_variations": 1,
            "loss_weight": 1.0,
            "image": {"enable_crop_jitter": False, "enable_random_flip": False},
            "text": {"prompt_source": "sample"},
        }
        config = {
            "training_method": "LORA",
            "model_type": "STABLE_DIFFUSION_XL_10_BASE",
            "base_model_name": job.base_model,
            "workspace_dir": "workspace",
            "cache_dir": "workspace-cache",
            "output_model_format": "SAFETENSORS",
            "output_model_destination": f"output/{job.name}.safetensors",
            "concept_file_name": "concepts.json",
            "resolution": str(job.resolution),
            "aspect_ratio_bucketing": True,
            "latent_caching": True,
            "masked_training": job.masked,
            "learning_rate": 1e-4,
            "learning_rate_scheduler": "CONSTANT",
            "batch_size": 1,
            "epochs": max(1, round(job.steps / max(1, len(job.images)))),
            "weight_dtype": "BFLOAT_16",
            "train_dtype": "BFLOAT_16",
            "output_dtype": "BFLOAT_16",
            "vae_weight_dtype": "FLOAT_32",
            "lora_rank": 16,
            "lora_alpha": 16.0,
            "save_every": 250,
            "save_every_unit": "STEP",
        }
        _write(folder / "concepts.json", [concept])
        _write(folder / "train.json", config)

    def start(self, job: Job) -> str:
        """Its command-line trainer; the window loads the same file."""
        return "python /path/to/OneTrainer/scripts/train.py --config-path train.json"


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
