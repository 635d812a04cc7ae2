"""Start from the exported base model instead of from nothing."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from assets.build.autoencoder import measure_latents
from assets.build.captions import build_caption_book, build_tokenizer
from assets.build.checkpoint import save_tensors
from assets.build.diffusion import STATE_FILE, Conditioned


def adopt(target: Path, folder: Path) -> None:
    """Write the exported model in ``target`` as the first checkpoint of the work ``folder``.

    Words are matched by their text, since a new vocabulary numbers them anew; words the model
    never read keep their random start.
    """
    vae = AutoencoderKL.from_pretrained(target / "vae", torch_dtype=torch.float32)
    save_tensors(vae.state_dict(), folder / "autoencoder.safetensors")
    measure_latents(vae, folder, float(vae.config.scaling_factor))
    tokenizer = build_tokenizer(build_caption_book(folder), folder / "tokenizer")
    torch.manual_seed(0)
    model = Conditioned(tokenizer)
    encoder = CLIPTextModel.from_pretrained(target / "text_encoder", dtype=torch.float32)
    unet = UNet2DConditionModel.from_pretrained(target / "unet", torch_dtype=torch.float32)
    state = {f"text_encoder.{name}": value for name, value in encoder.state_dict().items()}
    state |= {f"unet.{name}": value for name, value in unet.state_dict().items()}
    known = CLIPTokenizer.from_pretrained(target / "tokenizer").get_vocab()
    name = next(n for n in state if n.endswith("token_embedding.weight"))
    rows = model.state_dict()[name].clone()
    shared = [(new, known[word]) for word, new in tokenizer.get_vocab().items() if word in known]
    new, old = (torch.tensor(ids) for ids in zip(*shared, strict=True))
    rows[new] = state[name][old]
    state[name] = rows
    print(f"{len(shared)} of {len(rows)} words known")
    model.load_state_dict(state)
    tensors = {
        f"{part}.{key}": value.clone()
        for part in ("model", "average")
        for key, value in model.state_dict().items()
    }
    save_tensors(tensors, folder / STATE_FILE, {"step": "0.0", "seconds": "0.0"})
