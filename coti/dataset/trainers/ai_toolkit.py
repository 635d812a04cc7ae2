"""ostris' ai-toolkit: ``train.yaml``, captions with ``[trigger]`` in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coti.dataset.trainers.captions import write_texts
from coti.dataset.trainers.protocol import Job

__all__ = ["AiToolkit"]


class AiToolkit:
    """Its ``sd_trainer``. It makes buckets by itself, at each resolution that it is told."""

    label = "ai-toolkit"
    formats = frozenset(("JPEG", "PNG", "WEBP"))

    def image_file(self, stem: str, suffix: str) -> str:
        """In one folder."""
        return f"images/{stem}{suffix}"

    def mask_file(self, stem: str, suffix: str) -> str:
        """Of the image's stem, in a folder of their own."""
        return f"masks/{stem}{suffix}"

    def write(self, folder: Path, job: Job) -> None:
        """A text beside each image, and the job."""
        import yaml

        write_texts(folder, job, "[trigger]" if job.trigger else "")
        sides = sorted({job.resolution // 2, job.resolution * 3 // 4, job.resolution})
        dataset: dict[str, Any] = {
            "folder_path": "images",
            "caption_ext": "txt",
            "caption_dropout_rate": 0.05,
            "shuffle_tokens": False,
            "cache_latents_to_disk": True,
            "resolution": sides,
        }
        if job.masked:
            dataset["mask_path"] = "masks"
        process: dict[str, Any] = {
            "type": "sd_trainer",
            "training_folder": "output",
            "device": "cuda:0",
            **({"trigger_word": job.trigger} if job.trigger else {}),
            "network": {"type": "lora", "linear": 16, "linear_alpha": 16},
            "save": {"dtype": "float16", "save_every": 250, "max_step_saves_to_keep": 8},
            "datasets": [dataset],
            "train": {
                "batch_size": 1,
                "steps": job.steps,
                "gradient_accumulation_steps": 1,
                "train_unet": True,
                "train_text_encoder": False,
                "gradient_checkpointing": True,
                "noise_scheduler": "ddpm",
                "optimizer": "adamw8bit",
                "lr": 1e-4,
                "dtype": "bf16",
            },
            "model": {"name_or_path": job.base_model, "is_xl": True},
            "sample": {
                "sampler": "ddpm",
                "sample_every": 250,
                "width": job.resolution,
                "height": job.resolution,
                "prompts": [f"a photo of {'[trigger] ' if job.trigger else ''}{job.concept}"],
                "neg": "",
                "seed": 42,
                "walk_seed": True,
                "guidance_scale": 7,
                "sample_steps": 25,
            },
        }
        whole = {"job": "extension", "config": {"name": job.name, "process": [process]}}
        text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
        (folder / "train.yaml").write_text(text, encoding="utf-8")

    def start(self, job: Job) -> str:
        """The job."""
        return "python /path/to/ai-toolkit/run.py train.yaml"
