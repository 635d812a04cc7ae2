"""SDXL: two text encoders, the second one's pooled output, and the image's size beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import torch

from coti.core.errors import ModelError
from coti.inversion.families.protocol import Conditioning, TextEncoderPart
from coti.inversion.families.stable_diffusion import (
    NOISE,
    TEXT,
    UNET,
    VAE,
    StableDiffusion,
    refuse_other_inputs,
)

__all__ = ["StableDiffusionXL"]

_BIG_TEXT = TEXT | {
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
_OWN_KEY = "conditioner.embedders.1.model.positional_embedding"


class StableDiffusionXL(StableDiffusion):
    """The family; latents, noise and loss are Stable Diffusion's."""

    pipeline: ClassVar[str] = "StableDiffusionXLPipeline"
    single_file_options: ClassVar[Mapping[str, Any]] = {}
    index: ClassVar[Mapping[str, Any]] = {"force_zeros_for_empty_prompt": True}
    text_encoders: ClassVar[tuple[TextEncoderPart, ...]] = (
        TextEncoderPart("text_encoder", "CLIPTextModel", "tokenizer", "clip_l"),
        TextEncoderPart("text_encoder_2", "CLIPTextModelWithProjection", "tokenizer_2", "clip_g"),
    )
    architectures: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sdxl": {
            "unet": UNET
            | {
                "sample_size": 128,
                "block_out_channels": [320, 640, 1280],
                "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
                "up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"],
                "transformer_layers_per_block": [1, 2, 10],
                "attention_head_dim": [5, 10, 20],
                "cross_attention_dim": 2048,
                "use_linear_projection": True,
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816,
            },
            "vae": VAE | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
            "text_encoder": TEXT,
            "text_encoder_2": _BIG_TEXT,
            "scheduler": NOISE,
        }
    }
    made_for: ClassVar[Mapping[tuple[int, ...], str]] = {
        (768, 1280): "SDXL",
        (1280,): "the second text encoder of SDXL",
    }

    def reads(self, index: Mapping[str, Any]) -> bool:
        """Both text encoders, and no third."""
        return super().reads(index) and "text_encoder_2" in index

    def recognise(self, shapes: Mapping[str, Sequence[int]], name: str) -> str | None:
        """By the second text encoder, which no other has."""
        if _OWN_KEY not in shapes:
            return None
        refuse_other_inputs(shapes, name)
        if "v_pred" in shapes:
            raise ModelError(
                f"{name} is an SDXL checkpoint that predicts v. Give its diffusers folder, or name "
                "one in model.config whose scheduler says prediction_type: v_prediction."
            )
        return "sdxl"

    def encode(
        self,
        text_encoders: Sequence[Any],
        ids: Sequence[torch.Tensor],
        masks: Sequence[torch.Tensor | None],
    ) -> Conditioning:
        """The last hidden states but one of both, side by side; the second one's pooled output."""
        outputs = [
            encoder(row, attention_mask=mask, output_hidden_states=True)
            for encoder, row, mask in zip(text_encoders, ids, masks, strict=True)
        ]
        hidden = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return Conditioning(hidden, {"text_embeds": outputs[-1][0]})

    def empty_prompt_is_zero(self, index: Mapping[str, Any]) -> bool:
        """As the model says."""
        return bool(index.get("force_zeros_for_empty_prompt", False))

    def predict(
        self,
        unet: Any,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        prompts: Conditioning,
        size: tuple[int, int],
    ) -> torch.Tensor:
        """Conditioned on the pooled output and the image's size, too."""
        pooled = prompts.added["text_embeds"]
        ids = _size_ids(*size, noisy.device, pooled.dtype).expand(len(noisy), -1)
        prediction: torch.Tensor = unet(
            noisy,
            timesteps,
            encoder_hidden_states=prompts.hidden,
            added_cond_kwargs={**prompts.added, "time_ids": ids},
            return_dict=False,
        )[0]
        return prediction


@lru_cache(maxsize=16)
def _size_ids(height: int, width: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Original size, crop corner and target size: [1, 6], moved to the device once."""
    with torch.inference_mode(False):  # training keeps it for its gradient
        return torch.tensor([[height, width, 0, 0, height, width]], device=device, dtype=dtype)
