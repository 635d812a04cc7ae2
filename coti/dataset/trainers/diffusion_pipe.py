"""diffusion-pipe: ``dataset.toml`` for the images, ``train.toml`` for the rest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from coti.dataset.trainers.captions import write_texts
from coti.dataset.trainers.protocol import Job
from coti.dataset.trainers.toml_text import toml_lines

__all__ = ["DiffusionPipe"]


class DiffusionPipe:
    """Its ``train.py`` under DeepSpeed. Buckets are told as the range of aspect ratios there is."""

    label = "diffusion-pipe"
    formats = frozenset(("JPEG", "PNG", "WEBP", "BMP", "TIFF"))

    def image_file(self, stem: str, suffix: str) -> str:
        """In one folder."""
        return f"images/{stem}{suffix}"

    def mask_file(self, stem: str, suffix: str) -> str:
        """Of the image's stem, in a folder of their own."""
        return f"masks/{stem}{suffix}"

    def write(self, folder: Path, job: Job) -> None:
        """A text beside each image, the directory, and the configuration."""
        write_texts(folder, job)
        ratios = [image.width / image.height for image in job.images]
        low, high = min([*ratios, 1.0]), max([*ratios, 1.0])
        dataset = {
            "resolutions": [job.resolution],
            "enable_ar_bucket": True,
            "min_ar": math.floor(100 * low) / 100,
            "max_ar": math.ceil(100 * high) / 100,
            "num_ar_buckets": 1 if low == high else 7,
            "frame_buckets": [1],
        }
        directory: dict[str, Any] = {"path": "images", "num_repeats": 1}
        if job.masked:
            directory["mask_path"] = "masks"
        text = f"{toml_lines(dataset)}\n[[directory]]\n{toml_lines(directory)}"
        (folder / "dataset.toml").write_text(text, encoding="utf-8")
        training = {
            "output_dir": "output",
            "dataset": "dataset.toml",
            "epochs": max(1, round(job.steps / max(1, len(job.images)))),
            "micro_batch_size_per_gpu": 1,
            "pipeline_stages": 1,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": 1.0,
            "warmup_steps": 100,
            "save_every_n_steps": 250,
            "checkpoint_every_n_minutes": 120,
            "activation_checkpointing": True,
            "partition_method": "parameters",
            "save_dtype": "bfloat16",
            "caching_batch_size": 1,
            "steps_per_print": 1,
        }
        parts: dict[str, dict[str, Any]] = {
            "model": {
                "type": "sdxl",
                "checkpoint_path": job.base_model,
                "dtype": "bfloat16",
                "unet_lr": 4e-5,
                "text_encoder_1_lr": 2e-5,
                "text_encoder_2_lr": 2e-5,
            },
            "adapter": {"type": "lora", "rank": 16, "dtype": "bfloat16"},
            "optimizer": {
                "type": "adamw_optimi",
                "lr": 4e-5,
                "betas": [0.9, 0.99],
                "weight_decay": 0.01,
                "eps": 1e-8,
            },
        }
        text = toml_lines(training)
        text += "".join(f"\n[{name}]\n{toml_lines(values)}" for name, values in parts.items())
        note = "# checkpoint_path is a single file: set --base-model, or this line, to yours.\n"
        (folder / "train.toml").write_text(note + text, encoding="utf-8")

    def start(self, job: Job) -> str:
        """On one GPU."""
        script = "/path/to/diffusion-pipe/train.py"
        return f"deepspeed --num_gpus=1 {script} --deepspeed --config train.toml"
