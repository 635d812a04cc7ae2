"""A diffusers pipeline that is in memory already, as the model that an embedding is learned for."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from typing import Any

from coti.core.errors import ModelError
from coti.core.quiet_libraries import quiet_libraries
from coti.core.whole_files import tensor_hash
from coti.inversion.base_model import TextToImageModel, frozen_model, vae_dtype
from coti.inversion.families.registry import family_of_pipeline
from coti.inversion.model_files import ModelParts

__all__ = ["model_of_pipeline"]


def model_of_pipeline(pipe: Any) -> TextToImageModel:
    """The model inside a text-to-image pipeline, with its weights, on its device, in its dtype.

    Nothing is copied but an autoencoder whose precision would overflow. The pipeline's networks
    stay the pipeline's: afterwards they are frozen and in evaluation mode, and work as before.

    Args:
        pipe: a diffusers pipeline of one of the families here, such as ``StableDiffusionPipeline``.

    Raises:
        ModelError: it is no such pipeline, lacks a part, or keeps its networks elsewhere.
    """
    family = family_of_pipeline(pipe)
    index, kind = dict(pipe.config), type(pipe).__name__
    parts = [
        *(family.unet.folder, family.vae.folder, "scheduler"),
        *(name for each in family.text_encoders for name in (each.folder, each.tokenizer)),
    ]
    missing = [name for name in parts if getattr(pipe, name, None) is None]
    if missing:
        raise ModelError(f"pipe, a {kind}, has no {' and no '.join(missing)}: load it with them.")
    unet, vae = getattr(pipe, family.unet.folder), getattr(pipe, family.vae.folder)
    text_encoders = tuple(getattr(pipe, each.folder) for each in family.text_encoders)
    networks = (unet, vae, *text_encoders)
    if any(hasattr(each, "_hf_hook") for each in networks) or unet.device.type == "meta":
        raise ModelError(
            "pipe keeps its networks elsewhere until they are used (cpu offload, device_map): load "
            'it without, and move it with pipe.to("cuda").'
        )
    needed = vae_dtype(vae, unet.dtype, unet.device)
    if vae.dtype != needed:
        vae = copy.deepcopy(vae).to(needed)
    name = str(index.get("_name_or_path") or kind)
    # The solver that images are drawn with may be another one; what the noise was is the same.
    found = ModelParts(
        family=family,
        vae=vae,
        unet=unet,
        tokenizers=tuple(getattr(pipe, each.tokenizer) for each in family.text_encoders),
        text_encoders=text_encoders,
        scheduler_config=dict(pipe.scheduler.config),
        index=index,
        fingerprint=_fingerprint(networks, dict(pipe.scheduler.config)),
    )
    with quiet_libraries():
        model = frozen_model(found, name, unet.device, unet.dtype)
    return replace(model, in_memory=True)


def _fingerprint(networks: tuple[Any, ...], scheduler: dict[str, Any]) -> str:
    """Changes with any weight or setting, as a folder's does; it is not that of the folder."""
    total = hashlib.sha256(repr(sorted(scheduler.items())).encode())
    for network in networks:
        total.update(repr(network.config).encode())
        for name, tensor in sorted(network.state_dict().items()):
            total.update(f"{name} {list(tensor.shape)} {tensor_hash(tensor.flatten())}".encode())
    return total.hexdigest()
