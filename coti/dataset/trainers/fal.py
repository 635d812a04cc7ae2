"""fal's LoRA trainers: one zip of images, captions and masks, and the request that names it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from coti.dataset.trainers.captions import write_texts
from coti.dataset.trainers.protocol import Job

__all__ = ["Fal"]

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The same date in every archive: the same set, the same bytes."""


class Fal:
    """``fal-ai/flux-lora-fast-training`` and its siblings."""

    label = "fal"
    formats = frozenset(("JPEG", "PNG", "WEBP"))

    def image_file(self, stem: str, suffix: str) -> str:
        """Until it is in the archive."""
        return f"dataset/{stem}{suffix}"

    def mask_file(self, stem: str, suffix: str) -> str:
        """Beside its image."""
        return f"dataset/{stem}_mask{suffix}"

    def write(self, folder: Path, job: Job) -> None:
        """The archive in place of the files, and the request."""
        write_texts(folder, job)
        inside = sorted((folder / "dataset").iterdir())
        with zipfile.ZipFile(folder / "dataset.zip", "w", zipfile.ZIP_STORED) as archive:
            for path in inside:
                archive.writestr(zipfile.ZipInfo(path.name, _LONG_AGO), path.read_bytes())
        for path in inside:
            path.unlink()
        (folder / "dataset").rmdir()
        request = {
            "images_data_url": "the address that `fal_client.upload_file('dataset.zip')` gives",
            **({"trigger_word": job.trigger} if job.trigger else {}),
            "steps": min(job.steps, 1_000),
            "create_masks": not job.masked,
            "is_style": False,
        }
        text = json.dumps(request, indent=2, ensure_ascii=False)
        (folder / "request.json").write_text(text, encoding="utf-8")

    def start(self, job: Job) -> str:
        """Both steps are fal's own client's."""
        return (
            "python -c \"import fal_client, json; a = json.load(open('request.json')); "
            "a['images_data_url'] = fal_client.upload_file('dataset.zip'); "
            "print(fal_client.subscribe('fal-ai/flux-lora-fast-training', arguments=a))\""
        )
