"""Sentences about an image by a model of transformers that writes: BLIP (Li et al. 2022), GIT."""

from __future__ import annotations

from typing import Any

import torch

from coti.core.errors import ModelError
from coti.core.file_rules import user_path
from coti.core.out_of_memory import out_of_memory_at
from coti.core.weights import check_hash, local_weights
from coti.encoders.captioners import CaptionerOptions
from coti.encoders.image_batches import batches, looking_at

__all__ = ["TransformersCaptioner"]

LONGEST = 40
"""Tokens of a caption."""
BEAMS = 3


class TransformersCaptioner:
    """What a model says of images that it is asked nothing about; beam search, no chance."""

    def __init__(self, name: str, model: Any, processor: Any, batch_size: int = 16) -> None:
        """``model`` and ``processor`` are transformers' own, of one checkpoint."""
        self.name = name
        self.batch_size = batch_size
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with out_of_memory_at(ModelError, f"loading {name}", "take a smaller captioner", model):
            self._model = model.eval().requires_grad_(False).to(device)
        self._processor = processor

    @classmethod
    def load(cls, options: CaptionerOptions) -> TransformersCaptioner:
        """By ``model`` and ``sha256``; safetensors alone, and no code of the checkpoint's."""
        import transformers

        name = options.model
        if name is None:
            raise ModelError(
                "captioner.model is not given: a folder of BLIP, or a name of the hub such as "
                "Salesforce/blip-image-captioning-base."
            )
        place, sha256 = name, options.sha256
        if name.startswith("s3://"):
            place, sha256 = str(local_weights(name, sha256)), None
        folder = user_path(place)
        if folder.is_dir():
            place = str(folder)
            if sha256:
                check_hash(folder, sha256, name)
        elif sha256:
            raise ModelError(f"captioner.sha256 is of a folder, and {name} is none here: fetch it.")
        given = {"trust_remote_code": False}
        try:
            make: Any = transformers.AutoProcessor
            processor = make.from_pretrained(place, **given)
            model = transformers.AutoModelForImageTextToText.from_pretrained(
                place, use_safetensors=True, dtype=torch.float32, **given
            )
        except Exception as error:  # transformers and the hub let every kind of exception through
            said = " ".join(str(error).split())[:160] or type(error).__name__
            raise ModelError(
                f"No captioner can be loaded from {name} ({said}): give a folder with config.json, "
                "model.safetensors and the processor's files, or a name of the hub."
            ) from error
        return cls(name, model, processor, options.batch_size)

    @torch.inference_mode()
    def describe(self, images: torch.Tensor) -> list[str]:
        """uint8 [n, 3, h, w], any size, to a sentence each."""
        said: list[str] = []
        with looking_at(self.name, self.batch_size):
            for batch in batches(images, self.batch_size, f"{self.name}: captions"):
                pixels = self._processor(images=list(batch), return_tensors="pt")["pixel_values"]
                written = self._model.generate(
                    pixel_values=pixels.to(self._model.device),
                    max_new_tokens=LONGEST,
                    num_beams=BEAMS,
                    do_sample=False,
                )
                said += self._processor.batch_decode(written, skip_special_tokens=True)
        return [" ".join(each.split()) for each in said]
