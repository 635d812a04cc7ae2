"""A diffusers folder written as the single file of the original releases, for tests.

The names are those of CompVis' and Stability's code; diffusers' own conversion reads them back, so
a wrong name here fails the test that uses it.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def _resnet(rest: str) -> str:
    name, kind = rest.split(".")
    return f"{_RESNET[name]}.{kind}"


def unet_key(key: str, blocks: int) -> str:
    """The original's name of a UNet tensor; two resnets a block, ``blocks`` resolutions."""
    for ours, theirs in _TOP.items():
        if key.startswith(ours + "."):
            return theirs + key[len(ours) :]
    found = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", key)
    if found:
        side, block, kind, place, rest = found.groups()
        a_block = 3
        number = int(block) * a_block + int(place)
        where = f"input_blocks.{number + 1}" if side == "down" else f"output_blocks.{number}"
        part = 0 if kind == "resnets" else 1
        return f"{where}.{part}.{_resnet(rest) if kind == 'resnets' else rest}"
    found = re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)", key)
    if found:
        return f"input_blocks.{3 * (int(found[1]) + 1)}.0.op.{found[2]}"
    found = re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.(.+)", key)
    if found:
        # After the attention where the block has one; the last resolution has none.
        return f"output_blocks.{3 * int(found[1]) + 2}.UP.{found[2]}"
    found = re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", key)
    assert found, key
    if found[1] == "attentions":
        return f"middle_block.1.{found[3]}"
    return f"middle_block.{2 * int(found[2])}.{_resnet(found[3])}"


def unet_tensors(unet: Tensors, blocks: int) -> Tensors:
    """All of a UNet under the original names."""
    named = {unet_key(key, blocks): value for key, value in unet.items()}
    out = {}
    for key, value in named.items():
        found = re.match(r"(output_blocks\.\d+)\.UP\.(.+)", key)
        if found:
            attended = any(k.startswith(f"{found[1]}.1.") for k in named)
            key = f"{found[1]}.{2 if attended else 1}.{found[2]}"
        out[f"model.diffusion_model.{key}"] = value
    return out


def vae_tensors(vae: Tensors, blocks: int) -> Tensors:
    """All of an autoencoder under the original names; convolutions for its attention."""
    out = {}
    for key, value in vae.items():
        new = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = new.replace("mid_block.attentions.0.", "mid.attn_1.")
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        new = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", new)
        new = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(
            r"up_blocks\.(\d)\.resnets\.(\d)",
            lambda m: f"up.{blocks - 1 - int(m[1])}.block.{m[2]}",
            new,
        )
        new = re.sub(
            r"up_blocks\.(\d)\.upsamplers\.0",
            lambda m: f"up.{blocks - 1 - int(m[1])}.upsample",
            new,
        )
        if "attn_1" in new:
            for ours, theirs in (
                ("group_norm", "norm"),
                ("to_q", "q"),
                ("to_k", "k"),
                ("to_v", "v"),
                ("to_out.0", "proj_out"),
            ):
                new = new.replace(f"attn_1.{ours}.", f"attn_1.{theirs}.")
            if value.ndim == 2:
                value = value[:, :, None, None]
        out[f"first_stage_model.{new}"] = value
    return out


def open_clip_tensors(text: Tensors, prefix: str) -> Tensors:
    """An OpenCLIP text tower: query, key and value in one matrix."""
    plain = {key.removeprefix("text_model."): value for key, value in text.items()}
    out = {
        f"{prefix}positional_embedding": plain["embeddings.position_embedding.weight"],
        f"{prefix}token_embedding.weight": plain["embeddings.token_embedding.weight"],
        f"{prefix}ln_final.weight": plain["final_layer_norm.weight"],
        f"{prefix}ln_final.bias": plain["final_layer_norm.bias"],
    }
    if "text_projection.weight" in plain:
        out[f"{prefix}text_projection"] = plain["text_projection.weight"].T.contiguous()
    names = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc"}
    names |= {"mlp.fc2": "mlp.c_proj", "self_attn.out_proj": "attn.out_proj"}
    for key, value in plain.items():
        found = re.match(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", key)
        if not found:
            continue
        layer, name, kind = found.groups()
        where = f"{prefix}transformer.resblocks.{layer}"
        if name in names:
            out[f"{where}.{names[name]}.{kind}"] = value
        elif name == "self_attn.q_proj":
            three = [plain[key.replace("q_proj", f"{x}_proj")] for x in "qkv"]
            out[f"{where}.attn.in_proj_{kind}"] = torch.cat(three)
    return out


def write_single_file(folder: Path, path: Path, open_clip: bool) -> Path:
    """The folder's weights in one file; ``open_clip`` says whether it is of the 2.x kind."""
    unet = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    vae = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    text = load_file(folder / "text_encoder" / "model.safetensors")
    blocks = 1 + max(int(key.split(".")[1]) for key in unet if key.startswith("down_blocks"))
    out = unet_tensors(unet, blocks) | vae_tensors(vae, 4)
    two = (folder / "text_encoder_2").is_dir()
    where = "conditioner.embedders.0" if two else "cond_stage_model"
    if open_clip:
        out |= open_clip_tensors(text, "cond_stage_model.model.")
    else:
        out |= {
            f"{where}.transformer.text_model.{key.removeprefix('text_model.')}": value
            for key, value in text.items()
        }
    if two:
        second = load_file(folder / "text_encoder_2" / "model.safetensors")
        out |= open_clip_tensors(second, "conditioner.embedders.1.model.")
    save_file({key: value.contiguous() for key, value in out.items()}, path)
    return path
