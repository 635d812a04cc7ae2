"""kohya's sd-scripts: ``dataset.toml`` for the images, ``train.toml`` for all options."""

from __future__ import annotations

from pathlib import Path

from coti.dataset.trainers.buckets import extremes
from coti.dataset.trainers.captions import described
from coti.dataset.trainers.protocol import Job
from coti.dataset.trainers.toml_text import toml_lines

__all__ = ["Kohya"]


class Kohya:
    """``sdxl_train_network.py`` and its siblings."""

    label = "kohya's sd-scripts"
    formats = frozenset(("JPEG", "PNG", "WEBP", "BMP"))

    def image_file(self, stem: str, suffix: str) -> str:
        """In one folder: deeper ones are not looked into."""
        return f"images/{stem}{suffix}"

    def mask_file(self, stem: str, suffix: str) -> str:
        """Of the image's stem, in a folder of their own."""
        return f"masks/{stem}{suffix}"

    def write(self, folder: Path, job: Job) -> None:
        """A text beside each image that has a caption; for the others stand ``class_tokens``, which
        a dataset with masks may not have: there each image has a text."""
        for image in job.images:
            if image.caption or job.all_masked:
                path = (folder / image.file).with_suffix(".txt")
                path.write_text(described(image, job) + "\n", encoding="utf-8")
        low, high = extremes([(i.width, i.height) for i in job.images], job.resolution)
        general = {"caption_extension": ".txt", "shuffle_caption": False, "keep_tokens": 1}
        dataset = {
            "resolution": job.resolution,
            "batch_size": 1,
            "enable_bucket": True,
            "bucket_no_upscale": False,
            "bucket_reso_steps": 64,
            "min_bucket_reso": low,
            "max_bucket_reso": high,
        }
        subset: dict[str, str | int] = {"image_dir": "images", "num_repeats": 1}
        if job.all_masked:
            subset["conditioning_data_dir"] = "masks"
        else:
            subset["class_tokens"] = job.words
        text = (
            f"[general]\n{toml_lines(general)}\n[[datasets]]\n{toml_lines(dataset)}\n"
            f"[[datasets.subsets]]\n{toml_lines(subset)}"
        )
        (folder / "dataset.toml").write_text(text, encoding="utf-8")
        options = {
            "pretrained_model_name_or_path": job.base_model,
            "dataset_config": "dataset.toml",
            "output_dir": "output",
            "output_name": job.name,
            "save_model_as": "safetensors",
            "save_every_n_steps": 250,
            "network_module": "networks.lora",
            "network_dim": 16,
            "network_alpha": 16,
            "network_train_unet_only": True,
            "learning_rate": 1e-4,
            "optimizer_type": "AdamW",
            "lr_scheduler": "constant",
            "max_train_steps": job.steps,
            "mixed_precision": "bf16",
            "gradient_checkpointing": True,
            "cache_latents": True,
            "sdpa": True,
            "no_half_vae": True,
            "seed": 0,
            "masked_loss": job.all_masked,
        }
        (folder / "train.toml").write_text(toml_lines(options), encoding="utf-8")

    def start(self, job: Job) -> str:
        """With all options in the file."""
        return (
            "accelerate launch /path/to/sd-scripts/sdxl_train_network.py --config_file train.toml"
        )
