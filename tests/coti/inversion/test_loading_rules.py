"""Our file under the lookup orders that the web UIs publish, written here as our own checks.

diffusers is tested for real in ``test_parity.py`` and ``tests/coti/generation/test_sampler.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from coti.inversion.adapters.embedding import Embedding

Tensors = dict[str, torch.Tensor]
ONE = Embedding("<ankle-boot>", (torch.randn(4, 1024),), {"concept": "ankle boot"})
TWO = Embedding(
    "<ankle-boot>", (torch.randn(4, 768), torch.randn(4, 1280)), {}, ("clip_l", "clip_g")
)


def automatic1111(file: Tensors) -> list[torch.Tensor]:
    """string_to_param, then both SDXL keys, then the only tensor; more than one is an error."""
    assert "string_to_param" not in file
    if "clip_g" in file and "clip_l" in file:
        return [file["clip_l"], file["clip_g"]]
    assert len(file) == 1, "embedding file has multiple terms in it"
    return list(file.values())


def comfyui(file: Tensors) -> list[torch.Tensor]:
    """string_to_param, then the text encoder's own key, then the first tensor whatever its key."""
    assert "string_to_param" not in file
    first = next(iter(file.values()))
    keys = ("clip_l", "clip_g") if "clip_l" in file else ("clip_h",)
    return [file.get(key, first) for key in keys]


def invokeai(file: Tensors) -> list[torch.Tensor]:
    """string_to_param, emb_params, both SDXL keys, then the first tensor."""
    assert "string_to_param" not in file
    if "emb_params" in file:
        return [file["emb_params"]]
    if "clip_g" in file and "clip_l" in file:
        return [file["clip_l"], file["clip_g"]]
    return [next(iter(file.values()))]


def invokeais_import(file: Tensors) -> str:
    """For which base model, by a width: of emb_params, of clip_g, or the first tensor's *first*."""
    if "emb_params" in file:
        width = file["emb_params"].shape[-1]
    elif "clip_g" in file:
        width = file["clip_g"].shape[-1]
    else:
        width = next(iter(file.values())).shape[0]
    return {768: "sd-1", 1024: "sd-2", 1280: "sdxl"}.get(width, "refused")


@pytest.mark.parametrize("key", [None, "emb_params"])
@pytest.mark.parametrize("tool", [automatic1111, comfyui, invokeai])
@pytest.mark.parametrize("embedding", [ONE, TWO], ids=["sd", "sdxl"])
def test_the_file_is_found_under_each_tools_rules(
    tool: Callable[[Tensors], list[torch.Tensor]],
    embedding: Embedding,
    key: str | None,
    tmp_path: Path,
) -> None:
    """The right vectors for the right text encoder, two-dimensional, float32."""
    path = embedding.save(tmp_path / "learned_embeds.safetensors", key)
    found = tool(load_file(path))
    assert len(found) == len(embedding.parts)
    for ours, theirs in zip(embedding.parts, found, strict=True):
        assert theirs.ndim == 2
        assert theirs.dtype == torch.float32
        assert torch.equal(ours, theirs)


def test_invokeai_imports_the_web_uis_file_and_not_the_other(tmp_path: Path) -> None:
    """Several vectors under the token's own key have no width that it knows; SDXL's file has."""
    own = ONE.save(tmp_path / "own.safetensors")
    webui = ONE.save(tmp_path / "webui.safetensors", "emb_params")
    sdxl = TWO.save(tmp_path / "sdxl.safetensors")
    found = [invokeais_import(load_file(path)) for path in (own, webui, sdxl)]
    assert found == ["refused", "sd-2", "sdxl"]
    again = Embedding.load(webui)
    assert again.token == ONE.token
    assert torch.equal(again.parts[0], ONE.parts[0])
