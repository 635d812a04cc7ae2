"""diffusers' example scripts: an ``imagefolder`` with ``metadata.jsonl``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from coti.dataset.trainers.captions import described
from coti.dataset.trainers.protocol import Job

__all__ = ["Diffusers"]


class Diffusers:
    """``train_text_to_image_lora_sdxl.py``, and whatever reads an ``imagefolder``."""

    label = "diffusers"
    formats = frozenset(("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"))

    def image_file(self, stem: str, suffix: str) -> str:
        """In ``train/``, which is the split's name."""
        return f"train/{stem}{suffix}"

    def mask_file(self, stem: str, suffix: str) -> str:
        """The scripts take none, and a folder of them would be taken for images."""
        return ""

    def write(self, folder: Path, job: Job) -> None:
        """``metadata.jsonl`` beside the images, and the command as a script."""
        rows = [
            {"file_name": Path(image.file).name, "text": described(image, job)}
            for image in job.images
        ]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / "train" / "metadata.jsonl").write_text(text, encoding="utf-8")
        words = [
            *("accelerate", "launch", "train_text_to_image_lora_sdxl.py"),
            f"--pretrained_model_name_or_path={job.base_model}",
            "--train_data_dir=.",
            *("--image_column=image", "--caption_column=text"),
            f"--resolution={job.resolution}",
            *("--train_batch_size=1", "--gradient_checkpointing", "--mixed_precision=bf16"),
            *("--rank=16", "--learning_rate=1e-4", "--lr_scheduler=constant"),
            f"--max_train_steps={job.steps}",
            *("--checkpointing_steps=250", "--seed=0"),
            f"--output_dir=output/{job.name}",
            f"--validation_prompt=a photo of {job.words}",
        ]
        lines = " \\\n  ".join(shlex.quote(word) for word in words)
        script = (
            "#!/bin/sh\n# The script is in diffusers' examples/text_to_image. It cuts a square of "
            "each image: it has no buckets.\n" + f"{lines}\n"
        )
        (folder / "train.sh").write_text(script, encoding="utf-8")

    def start(self, job: Job) -> str:
        """The script."""
        return "sh train.sh"
