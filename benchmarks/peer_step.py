"""The peer's training step: diffusers' ``examples/textual_inversion``, rewritten.

:data:`OPERATIONS` names each of the step's operations, :data:`LEFT_OUT` what is not done.
"""

from __future__ import annotations

import random
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image

from coti.core.quiet_libraries import quiet_libraries
from coti.inversion.base_model import TextToImageModel
from coti.inversion.caption_templates import OBJECT_TEMPLATES

OPERATIONS = (
    "open, resize, mirror at random and normalise each image, in the training process",
    "sample a template and tokenise it, an image at a time",
    "encode the images, in the UNet's precision, and sample their latents",
    "sample noise and timesteps; add the noise through the scheduler",
    "text encoder, its weights float32, under autocast where the precision is half",
    "UNet, in the half precision",
    "the loss in float32, for noise or velocity",
    "the gradient of the whole vocabulary's table",
    "AdamW on the whole table, the learning rate's schedule, zero_grad",
    "write the vocabulary's other rows back",
    "read the loss for the progress bar",
)
"""The example's step, in its order."""
LEFT_OUT = (
    "accelerate's own bookkeeping (accumulate, backward, gather)",
    "showing the progress bar, logging, checkpoints",
)
"""What the example does beside, some of it every step; without it the example is faster."""


class Example:
    """The training step of diffusers' textual-inversion example, by :data:`OPERATIONS`."""

    def __init__(
        self,
        model: TextToImageModel,
        folder: Path,  # of image files
        batch_size: int,  # images a step
        num_vectors: int,  # of the embedding
    ) -> None:
        diffusers: Any = import_module("diffusers")
        transformers: Any = import_module("transformers")
        root = Path(model.name)
        with quiet_libraries():
            self.tokenizer = transformers.CLIPTokenizer.from_pretrained(str(root / "tokenizer"))
            self.text_encoder = transformers.CLIPTextModel.from_pretrained(
                str(root / "text_encoder")
            )
            self.vae = diffusers.AutoencoderKL.from_pretrained(str(root / "vae"))
            self.unet = diffusers.UNet2DConditionModel.from_pretrained(str(root / "unet"))
            # The example keeps the text encoder, whose vocabulary it trains, in float32.
            self.text_encoder.to(model.device, torch.float32)
            self.vae.to(model.device, model.dtype).requires_grad_(False)
            self.unet.to(model.device, model.dtype).requires_grad_(False)
        self.model = model
        self.scheduler = diffusers.DDPMScheduler.from_config(model.scheduler_config)
        names = [f"<bench>_{i}" if i else "<bench>" for i in range(num_vectors)]
        self.tokenizer.add_tokens(names)
        self.rows = self.tokenizer.convert_tokens_to_ids(names)
        with quiet_libraries():
            self.text_encoder.resize_token_embeddings(len(self.tokenizer))
        table = self.text_encoder.get_input_embeddings().weight
        for module in self.text_encoder.modules():
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(parameter is table)
        self.placeholder = " ".join(names)
        self.optimizer = torch.optim.AdamW([table], lr=5e-4)
        self.rates = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda _step: 1.0)
        self.original = table.detach().clone()
        self.text_encoder.train()
        self.files = sorted(folder.iterdir())
        self.batch_size = batch_size
        self.batches = self._loader()

    def _image(self, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
        """The example's dataset: open, crop nothing, resize, mirror at random, tokenise."""
        image = Image.open(path).convert("RGB")
        side = self.model.resolution
        image = image.resize((side, side), resample=Image.Resampling.BICUBIC)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = (pixels.view(side, side, 3).float() / 127.5 - 1.0).permute(2, 0, 1)
        text = random.choice(OBJECT_TEMPLATES).format(self.placeholder)
        ids = self.tokenizer(
            text,
            padding="max_length",
            truncation=True,
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids[0]
        return pixels, ids

    def _loader(self) -> Any:
        while True:
            order = random.sample(self.files, len(self.files))
            for first in range(0, len(order) - self.batch_size + 1, self.batch_size):
                items = [self._image(path) for path in order[first : first + self.batch_size]]
                yield tuple(
                    torch.stack(column).to(self.model.device) for column in zip(*items, strict=True)
                )

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Latents of a batch."""
        latents = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist.sample().detach()
        return torch.as_tensor(latents * self.vae.config.scaling_factor).to(self.model.dtype)

    def text(self, ids: torch.Tensor) -> torch.Tensor:
        """Hidden states; accelerate runs a prepared model's forward under autocast."""
        half = self.model.dtype != torch.float32
        with torch.autocast(self.model.device.type, self.model.dtype, enabled=half):
            hidden = self.text_encoder(ids)[0]
        return torch.as_tensor(hidden).float().to(self.model.dtype)

    def update(self) -> None:
        """The optimizer on the whole table, and its other rows back."""
        self.optimizer.step()
        self.rates.step()
        self.optimizer.zero_grad()
        frozen = torch.ones((len(self.tokenizer),), dtype=torch.bool)
        frozen[min(self.rows) : max(self.rows) + 1] = False
        with torch.no_grad():
            self.text_encoder.get_input_embeddings().weight[frozen] = self.original[frozen]

    def step(self) -> None:
        """One optimizer step."""
        pixels, ids = next(self.batches)
        latents = self.encode(pixels)
        noise = torch.randn_like(latents)
        count = self.scheduler.config.num_train_timesteps
        timesteps = torch.randint(0, count, (len(latents),), device=latents.device).long()
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        hidden = self.text(ids)
        predicted = self.unet(noisy, timesteps, hidden).sample
        target = noise
        if self.model.prediction_type == "v_prediction":
            target = self.scheduler.get_velocity(latents, noise, timesteps)
        loss: Any = F.mse_loss(predicted.float(), target.float(), reduction="mean")
        loss.backward()
        self.update()
        loss.detach().item()
