"""SimpleTuner: ``config/config.json`` and the backends of the images and texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from coti.dataset.trainers.captions import write_texts
from coti.dataset.trainers.protocol import Job

__all__ = ["SimpleTuner"]


class SimpleTuner:
    """``simpletuner train``, which looks for ``config/config.json`` where it is started."""

    label = "SimpleTuner"
    formats = frozenset(("JPEG", "PNG", "WEBP", "BMP", "TIFF"))

    def image_file(self, stem: str, suffix: str) -> str:
        """In one folder."""
        return f"images/{stem}{suffix}"

    def mask_file(self, stem: str, suffix: str) -> str:
        """Of the image's stem, in a folder of their own."""
        return f"masks/{stem}{suffix}"

    def write(self, folder: Path, job: Job) -> None:
        """A text beside each image, the backends, and the configuration."""
        write_texts(folder, job)
        ratios = [image.width / image.height for image in job.images]
        images: dict[str, Any] = {
            "id": job.name,
            "type": "local",
            "dataset_type": "image",
            "instance_data_dir": "images",
            "caption_strategy": "textfile",
            "crop": False,
            "resolution": job.resolution,
            "resolution_type": "pixel_area",
            "minimum_aspect_ratio": round(min(ratios) - 0.05, 2),
            "maximum_aspect_ratio": round(max(ratios) + 0.05, 2),
            "metadata_backend": "discovery",
            "cache_dir_vae": f"cache/vae/{job.name}",
            "repeats": 0,
        }
        backends = [images]
        if job.all_masked:
            masks = f"{job.name}-masks"
            images["conditioning_data"] = masks
            backends.append(
                {
                    "id": masks,
                    "type": "local",
                    "dataset_type": "conditioning",
                    "conditioning_type": "mask",
                    "source_dataset_id": job.name,
                    "instance_data_dir": "masks",
                    "cache_dir_vae": f"cache/vae/{masks}",
                }
            )
        backends.append(
            {
                "id": "text-embeds",
                "type": "local",
                "dataset_type": "text_embeds",
                "default": True,
                "cache_dir": "cache/text",
            }
        )
        config = {
            "model_type": "lora",
            "model_family": "sdxl",
            "pretrained_model_name_or_path": job.base_model,
            "data_backend_config": "config/multidatabackend.json",
            "output_dir": f"output/{job.name}",
            "resolution": job.resolution,
            "resolution_type": "pixel_area",
            "lora_rank": 16,
            "learning_rate": 1e-4,
            "lr_scheduler": "constant",
            "optimizer": "adamw_bf16",
            "mixed_precision": "bf16",
            "train_batch_size": 1,
            "gradient_checkpointing": True,
            "max_train_steps": job.steps,
            "num_train_epochs": 0,
            "checkpoint_step_interval": 250,
            "validation_prompt": f"a photo of {job.words}",
            "seed": 0,
        }
        (folder / "config").mkdir()
        _write(folder / "config" / "multidatabackend.json", backends)
        _write(folder / "config" / "config.json", config)

    def start(self, job: Job) -> str:
        """In the folder, where its configuration is found."""
        return "simpletuner train"


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
