"""Models of timm from a folder, and by name with a file of weights; what doesn't fit is named."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from coti.core.errors import ModelError
from coti.core.weights import hash_of
from coti.encoders.protocol import EncoderOptions
from coti.encoders.registry import load_encoder
from coti.encoders.timm_encoder import load_timm
from ops.run_file import load_settings
from ops.stack.locations import ROOT

DINOV2 = "vit_small_patch14_dinov2.lvd142m"
OPTIONS = {"channels": [8, 8, 8, 16], "stem_width": 8}


def write(network: torch.nn.Module, path: Path) -> Path:
    """Its weights as safetensors."""
    save_file(network.state_dict(), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small random network, as timm writes it, with a classifier."""
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=3, **OPTIONS)
    write(network, tmp_path / "model.safetensors")
    shown = {"input_size": [3, 32, 32], "mean": [0.2] * 3, "std": [0.5] * 3, "num_classes": 3}
    shown |= {"classifier": "fc", "first_conv": "conv1.0"}
    describe(tmp_path, {"pretrained_cfg": shown, "model_args": OPTIONS})
    return tmp_path


def describe(folder: Path, values: Mapping[str, object]) -> None:
    """``config.json`` of a resnet10t."""
    text = json.dumps({"architecture": "resnet10t", **values})
    (folder / "config.json").write_text(text, encoding="utf-8")


def test_a_folder_gives_pooled_features_in_any_batch(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are the network's before its classifier, of images as its description says; timm says
    nothing of what it loads."""
    caplog.set_level(logging.INFO)
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    encoder = load_encoder("timm", EncoderOptions(model=str(folder), batch_size=2))
    assert encoder.size == 16
    assert not caplog.records
    found = encoder.encode_images(images)
    network = timm.create_model(
        "resnet10t", num_classes=3, checkpoint_path=folder / "model.safetensors", **OPTIONS
    ).eval()
    with torch.inference_mode():
        pixels = (images / 255 - 0.2) / 0.5
        expected = network.forward_head(network.forward_features(pixels), pre_logits=True)
    torch.testing.assert_close(found, expected)
    assert encoder.encode_images(images[:0]).shape == (0, 16)


@pytest.mark.slow
def test_dinov2_loads_by_name_and_is_shown_224_pixels(tmp_path: Path) -> None:
    """The real models' class-blind judge, with random weights of its true architecture; its places
    for 518 pixels are resampled by timm."""
    names = {
        load_settings(ROOT / "configs" / f"{name}.yaml").evaluation.ssl_judge
        for name in ("sd15", "sd2", "sdxl")
    }
    assert names == {DINOV2}
    torch.manual_seed(0)
    network = timm.create_model(DINOV2, pretrained=False, num_classes=0)
    path = write(network, tmp_path / "dinov2.safetensors")
    encoder = load_timm(DINOV2, str(path), sha256=hash_of(path))
    assert (encoder.size, encoder.input_size) == (384, 224)
    images = torch.randint(0, 256, (1, 3, 40, 50), dtype=torch.uint8)
    assert encoder.encode_images(images).shape == (1, 384)


def test_a_folder_is_all_there_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its description says of a hub or of other files, its own weights are loaded, or it
    is refused; nothing is asked for."""
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("it went to the network"))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    expected = load_timm(str(folder)).encode_images(images)
    shown = json.loads((folder / "config.json").read_text(encoding="utf-8"))["pretrained_cfg"]
    hub = {"source": "hf-hub", "hf_hub_id": "somebody/else", "url": "http://x/y.pth"}
    describe(folder, {"pretrained_cfg": shown | hub, "model_args": OPTIONS})
    assert torch.equal(load_timm(str(folder)).encode_images(images), expected)
    for changed in (
        {"architecture": "hf-hub:somebody/else"},
        {"architecture": f"local-dir:{folder.parent}"},
        {"model_args": {**OPTIONS, "checkpoint_path": "/somewhere.pth"}},
    ):
        describe(folder, {"pretrained_cfg": shown, "model_args": OPTIONS} | changed)
        with pytest.raises(ModelError, match="nothing is fetched or loaded from where a file says"):
            load_timm(str(folder))


def test_what_cannot_be_loaded_is_named_with_the_remedy(folder: Path) -> None:
    """No model, no weights, another hash, pickled or another network's weights, no description."""
    weights = folder / "model.safetensors"
    for model, pretrained, sha256, says in (
        ("nothing", None, None, "neither a folder nor a model that timm knows"),
        ("resnet10t", None, None, "needs pretrained"),
        ("resnet10t", str(weights), "0" * 64, "is not the pinned weights"),
        (str(folder), None, "0" * 64, "is not the pinned weights"),
        ("resnet10t", str(folder / "config.json"), None, "pickled weights are not loaded"),
        ("resnet10t", str(weights), None, "does not fit timm's resnet10t"),
    ):
        with pytest.raises(ModelError, match=says):
            load_timm(model, pretrained, sha256=sha256)
    with pytest.raises(ModelError, match="timm needs a model"):
        load_encoder("timm", EncoderOptions())
    describe(folder, {})
    with pytest.raises(ModelError, match="no description of a timm model"):
        load_timm(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_timm(str(folder))
