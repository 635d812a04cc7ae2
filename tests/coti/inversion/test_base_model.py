from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from coti.core.errors import ConfigError, ModelError
from coti.core.weights import hash_of
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.settings import ModelSettings


def settings(folder: Path | str) -> ModelSettings:
    """A model on the CPU."""
    return ModelSettings(base_model=str(folder), device="cpu")


@pytest.fixture
def copied(model_folder: Callable[..., Path], tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return shutil.copytree(model_folder(), tmp_path / "model")


def test_a_loaded_model_is_frozen_and_knows_its_shapes(
    load_model: Callable[..., TextToImageModel],
) -> None:
    """No parameter wants a gradient; latents, widths and resolution come from the configs."""
    for kind, widths in (("v_prediction", (32,)), ("sdxl", (32, 48))):
        model = load_model(kind)
        assert model.resolution == 32
        assert model.latent_shape == (4, 16, 16)
        assert model.widths == widths
        parts = (model.vae, model.unet, *model.text_encoders)
        assert not any(p.requires_grad for part in parts for p in part.parameters())
        assert not any(part.training for part in parts)
        assert model.dtype == torch.float32
    assert load_model("v_prediction").prediction_type == "v_prediction"


def test_the_fingerprint_changes_with_a_weight(copied: Path, model: TextToImageModel) -> None:
    """Equal files, equal fingerprint, wherever they lie; one byte more, another one."""
    assert load_text_to_image(settings(copied)).fingerprint == model.fingerprint
    config = copied / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + "\n")
    assert load_text_to_image(settings(copied)).fingerprint != model.fingerprint


def test_a_pinned_hash_is_checked(model_folder: Callable[..., Path]) -> None:
    """The folder's own hash loads, another one is refused before anything is read."""
    folder = model_folder()
    pinned = replace(settings(folder), sha256=hash_of(folder))
    assert load_text_to_image(pinned).resolution == 32
    with pytest.raises(ModelError, match="is not the pinned weights"):
        load_text_to_image(replace(pinned, sha256="0" * 64))
    with pytest.raises(ModelError, match="needs its pinned sha256"):
        load_text_to_image(settings("s3://bucket/model"))


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    """An empty folder, an image, a path that does not exist."""
    with pytest.raises(ModelError, match=r"folder without a model_index.json. Give a diffusers"):
        load_text_to_image(settings(tmp_path))
    (tmp_path / "a.ckpt").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"a.ckpt is a file, not .* can run code"):
        load_text_to_image(settings(tmp_path / "a.ckpt"))
    with pytest.raises(ModelError, match="does not exist"):
        load_text_to_image(settings(tmp_path / "nowhere"))


@pytest.mark.parametrize("part", ["vae", "unet", "tokenizer", "text_encoder", "scheduler"])
def test_a_missing_part_is_named(part: str, copied: Path) -> None:
    """Whichever it is."""
    shutil.rmtree(copied / part)
    with pytest.raises(ModelError, match=part):
        load_text_to_image(settings(copied))


def test_damaged_weights_are_named(copied: Path) -> None:
    """A cut file is no traceback."""
    path = copied / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"part 'unet' of .* cannot be loaded"):
        load_text_to_image(settings(copied))


def test_pickled_weights_are_refused(copied: Path) -> None:
    """Only safetensors are read."""
    path = copied / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))
    with pytest.raises(ModelError, match="other formats can run code"):
        load_text_to_image(settings(copied))


@pytest.mark.parametrize("tiles", [False, True])
def test_the_precision_follows_the_machine(
    model_folder: Callable[..., Path], tiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """auto is bfloat16 where the CPU is fast in it; the autoencoder stays exact on a CPU."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    model = load_text_to_image(settings(model_folder()))
    assert model.dtype == (torch.bfloat16 if tiles else torch.float32)
    assert model.vae.dtype == torch.float32
    assert {p.dtype for p in model.unet.parameters()} == {model.dtype}


def test_other_prediction_types_are_refused(copied: Path) -> None:
    """A model that predicts x_0 has no loss here."""
    path = copied / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "sample"}))
    with pytest.raises(ModelError, match="predicts 'sample'"):
        load_text_to_image(settings(copied))


def test_devices_that_are_not_there_are_named() -> None:
    """A typing error, and a GPU on a machine without one."""
    with pytest.raises(ConfigError, match=r"model\.device is 'gpu'"):
        ModelSettings(base_model="x", device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="is not on this machine"):
            load_text_to_image(ModelSettings(base_model="x", device="cuda"))


@pytest.mark.slow
def test_loading_prints_nothing_and_an_unreachable_hub_is_one_sentence(
    model_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """In a process of its own, offline, as a user has it."""
    code = (
        "import sys\n"
        "from coti.core.errors import ModelError\n"
        "from coti.inversion.base_model import load_text_to_image\n"
        "from coti.settings import ModelSettings\n"
        "load_text_to_image(ModelSettings(base_model=sys.argv[1], device='cpu'))\n"
        "try:\n"
        "    load_text_to_image(ModelSettings(base_model='someone/model', device='cpu'))\n"
        "except ModelError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(model_folder())],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("someone/model is neither a folder here nor cached, and the hub")
    assert "mirror's id or a local diffusers folder" in done.stdout
    assert done.stdout.count("\n") == 1
