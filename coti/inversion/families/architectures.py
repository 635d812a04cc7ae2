"""The published shapes of Stable Diffusion 1.5, 2.0 and SDXL, as diffusers configurations.

A single-file checkpoint holds weights only: these say what they are. They also build models of
true architecture and random weights where no weights can be had. The tokenizer is CLIP's, from
the merges that open_clip ships, so nothing is fetched.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from coti.core.errors import ModelError

__all__ = ["ARCHITECTURES", "reduced", "write_configs"]

_NOISE: dict[str, Any] = {
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
_VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
_TEXT: dict[str, Any] = {
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
_SD2_TEXT = _TEXT | {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
}
_BIG_TEXT = _TEXT | {
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
_SD2_UNET = _UNET | {
    "attention_head_dim": [5, 10, 20, 20],  # heads, whatever the key is called
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "sd15": {"unet": _UNET, "vae": _VAE, "text_encoder": _TEXT, "scheduler": _NOISE},
    "sd2-base": {"unet": _SD2_UNET, "vae": _VAE, "text_encoder": _SD2_TEXT, "scheduler": _NOISE},
    "sd2": {
        "unet": _SD2_UNET | {"sample_size": 96},
        "vae": _VAE | {"sample_size": 768},
        "text_encoder": _SD2_TEXT,
        "scheduler": _NOISE | {"prediction_type": "v_prediction"},
    },
    "sdxl": {
        "unet": _UNET
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
        "vae": _VAE | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
        "text_encoder": _TEXT,
        "text_encoder_2": _BIG_TEXT,
        "scheduler": _NOISE,
    },
}
"""By name: ``sd15`` (and 1.4), ``sd2-base`` (2.0 and 2.1 at 512²), ``sd2`` (2.0 and 2.1 at 768²,
v-prediction), ``sdxl``."""


def reduced(name: str, divisor: int = 10, resolution: int = 128) -> dict[str, Any]:
    """An architecture of every block and depth, at a fraction of the width.

    Args:
        name: of :data:`ARCHITECTURES`.
        divisor: of the UNet's channels; 10 is the least width its group norms allow. The
            autoencoder's and the text encoders' widths are divided by 4.
        resolution: pixels of a side.
    """
    parts = copy.deepcopy(ARCHITECTURES[name])
    unet, vae = parts["unet"], parts["vae"]
    unet["block_out_channels"] = [c // divisor for c in unet["block_out_channels"]]
    if isinstance(unet["attention_head_dim"], list):  # 64 channels a head, as at full width
        unet["attention_head_dim"] = [max(1, c // 64) for c in unet["block_out_channels"]]
    unet["sample_size"] = resolution // 8
    unet["cross_attention_dim"] //= 4
    vae["block_out_channels"] = [c // 4 for c in vae["block_out_channels"]]
    vae["sample_size"] = resolution
    for part, text in parts.items():
        if part.startswith("text_encoder"):
            for key in ("hidden_size", "intermediate_size", "num_attention_heads"):
                text[key] //= 4
            text["projection_dim"] //= 4
    if "text_encoder_2" in parts:
        pooled = parts["text_encoder_2"]["projection_dim"]
        times = 6 * unet["addition_time_embed_dim"]
        unet["projection_class_embeddings_input_dim"] = pooled + times
    return parts


def write_configs(parts: dict[str, Any], folder: Path) -> Path:
    """A diffusers folder of configurations and tokenizers, without weights.

    Args:
        parts: one of :data:`ARCHITECTURES`, or :func:`reduced`.
        folder: made if need be.

    Raises:
        ModelError: open_clip, whose vocabulary is used, is not installed.
    """
    two = "text_encoder_2" in parts
    pipeline = "StableDiffusionXLPipeline" if two else "StableDiffusionPipeline"
    index: dict[str, Any] = {"_class_name": pipeline}
    for part, config in parts.items():
        where = folder / part
        where.mkdir(parents=True, exist_ok=True)
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        (where / name).write_text(json.dumps(config, indent=1))
        library = "transformers" if part.startswith("text_encoder") else "diffusers"
        kind = config.get("_class_name") or config["architectures"][0]
        index[part] = [library, kind]
        if part.startswith("text_encoder"):
            tokenizer = part.replace("text_encoder", "tokenizer")
            index[tokenizer] = ["transformers", "CLIPTokenizer"]
            # OpenCLIP's towers were trained on captions padded with token 0, CLIP's own with the
            # end token.
            open_clip_tower = config["hidden_act"] == "gelu"
            _write_tokenizer(folder / tokenizer, "!" if open_clip_tower else "<|endoftext|>")
    if two:
        index["force_zeros_for_empty_prompt"] = True
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))
    return folder


def _write_tokenizer(folder: Path, pad_token: str) -> None:
    """CLIP's byte-pair vocabulary, 49,408 pieces, in the files that transformers reads."""
    try:
        from open_clip.tokenizer import SimpleTokenizer
    except ImportError as error:
        raise ModelError("open_clip is not installed: `pip install open_clip_torch`.") from error
    known = SimpleTokenizer()
    start, end = "<|startoftext|>", "<|endoftext|>"
    renamed = {"<start_of_text>": start, "<end_of_text>": end}
    vocabulary = {renamed.get(piece, piece): i for piece, i in known.encoder.items()}
    merges = sorted(known.bpe_ranks, key=known.bpe_ranks.__getitem__)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": start,
        "eos_token": end,
        "unk_token": end,
        "pad_token": pad_token,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
