"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, its last hidden states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from coti.core.errors import ModelError
from coti.inversion.families.noising import DiffusionNoising
from coti.inversion.families.protocol import (
    Conditioning,
    ModelPart,
    Noising,
    TextEncoderPart,
    takes_more_than_latents,
)

__all__ = ["NOISE", "TEXT", "UNET", "VAE", "StableDiffusion", "refuse_other_inputs"]

NOISE: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
}
VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
TEXT: dict[str, Any] = {
    "architectures": ["CLIPTextModel"],
    "model_type": "clip_text_model",
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
_SD2_TEXT = TEXT | {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
}
_SD2_UNET = UNET | {
    "attention_head_dim": [5, 10, 20, 20],  # heads, whatever the key is called
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
_WIDTH_KEY = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_INPUT_KEY = "model.diffusion_model.input_blocks.0.0.weight"


class StableDiffusion:
    """The family; see :class:`coti.inversion.families.protocol.ModelFamily`."""

    pipeline: ClassVar[str] = "StableDiffusionPipeline"
    single_file_options: ClassVar[Mapping[str, Any]] = {
        "safety_checker": None,
        "feature_extractor": None,
    }
    index: ClassVar[Mapping[str, Any]] = {}
    unet: ClassVar[ModelPart] = ModelPart("unet", "UNet2DConditionModel")
    vae: ClassVar[ModelPart] = ModelPart("vae", "AutoencoderKL")
    text_encoders: ClassVar[tuple[TextEncoderPart, ...]] = (
        TextEncoderPart("text_encoder", "CLIPTextModel", "tokenizer"),
    )
    predictions: ClassVar[tuple[str, ...]] = ("epsilon", "v_prediction")
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sd15": {"unet": UNET, "vae": VAE, "text_encoder": TEXT, "scheduler": NOISE},
        "sd2-base": {"unet": _SD2_UNET, "vae": VAE, "text_encoder": _SD2_TEXT, "scheduler": NOISE},
        "sd2": {
            "unet": _SD2_UNET | {"sample_size": 96},
            "vae": VAE | {"sample_size": 768},
            "text_encoder": _SD2_TEXT,
            "scheduler": NOISE | {"prediction_type": "v_prediction"},
        },
    }
    made_for: ClassVar[Mapping[tuple[int, ...], str]] = {
        (768,): "Stable Diffusion 1.x",
        (1024,): "Stable Diffusion 2.x",
        (128,): "the bundled model",
    }

    def reads(self, index: Mapping[str, Any]) -> bool:
        """A UNet, and no text encoder beside its own."""
        others = {name for name in index if name.startswith("text_encoder")}
        return "unet" in index and others <= {part.folder for part in self.text_encoders}

    def recognise(self, shapes: Mapping[str, Sequence[int]], name: str) -> str | None:
        """By the width of the cross attention; 2.x has to be told apart by the user."""
        refuse_other_inputs(shapes, name)
        width = shapes.get(_WIDTH_KEY, [0])[-1]
        if width == 1024:
            raise ModelError(
                f"{name} is a Stable Diffusion 2.x checkpoint, and its file does not say which: "
                "set model.config to sd2-base (512 pixels, predicts epsilon) or sd2 (768 pixels, "
                "predicts v). With the wrong one the loss is wrong and nothing says so."
            )
        return "sd15" if width == 768 else None

    def encode(
        self,
        text_encoders: Sequence[Any],
        ids: Sequence[torch.Tensor],
        masks: Sequence[torch.Tensor | None],
    ) -> Conditioning:
        """The last hidden states."""
        return Conditioning(text_encoders[0](ids[0], attention_mask=masks[0])[0])

    def empty_prompt_is_zero(self, index: Mapping[str, Any]) -> bool:
        """Never: an empty prompt is encoded."""
        return False

    def predict(
        self,
        unet: Any,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        prompts: Conditioning,
        size: tuple[int, int],
    ) -> torch.Tensor:
        """Conditioned on the hidden states alone."""
        prediction: torch.Tensor = unet(
            noisy, timesteps, encoder_hidden_states=prompts.hidden, return_dict=False
        )[0]
        return prediction

    def noising(self, scheduler_config: Mapping[str, Any], device: torch.device) -> Noising:
        """Diffusion with a discrete schedule."""
        return DiffusionNoising(scheduler_config, device)

    def to_latents(self, vae: Any, raw: torch.Tensor) -> torch.Tensor:
        """By the autoencoder's own factor."""
        return raw * float(vae.config.scaling_factor)

    def from_latents(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """By the autoencoder's own factor."""
        return latents / float(vae.config.scaling_factor)


def refuse_other_inputs(shapes: Mapping[str, Sequence[int]], name: str) -> None:
    """Raise ModelError for a UNet that takes more than latents, such as a mask."""
    channels = shapes.get(_INPUT_KEY, [0, 4])[1]
    if channels != 4:
        raise takes_more_than_latents(name, channels)
