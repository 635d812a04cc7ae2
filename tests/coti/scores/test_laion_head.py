from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from coti.core.errors import ModelError
from coti.core.weights import hash_of
from coti.encoders.protocol import normalized
from coti.scores.aesthetic import load_aesthetic_head
from coti.scores.laion_head import convert_laion_head


def layers() -> nn.Sequential:
    """The published head's layers with its dropouts, random weights: the file can't be had here."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(768, 1024),
        nn.Dropout(0.2),
        nn.Linear(1024, 128),
        nn.Dropout(0.2),
        nn.Linear(128, 64),
        nn.Dropout(0.1),
        nn.Linear(64, 16),
        nn.Linear(16, 1),
    ).eval()


def test_the_converted_head_rates_as_the_published_one(tmp_path: Path) -> None:
    """From a .pth of the same names and shapes, whose hash is pinned."""
    head = layers()
    torch.save(nn.ModuleDict({"layers": head}).state_dict(), tmp_path / "head.pth")
    target = tmp_path / "head.safetensors"
    convert_laion_head(tmp_path / "head.pth", target, hash_of(tmp_path / "head.pth"))
    features = normalized(torch.randn(20, 768))
    found = load_aesthetic_head(target).rating(features)
    torch.testing.assert_close(found, head(features).squeeze(-1), rtol=1e-4, atol=1e-5)


def test_another_file_is_refused(tmp_path: Path) -> None:
    """By its hash before it is read, and by its tensors after; nothing is written."""
    torch.save(layers().state_dict(), tmp_path / "head.pth")
    with pytest.raises(ModelError, match="is not the pinned weights"):
        convert_laion_head(tmp_path / "head.pth", tmp_path / "out.safetensors")
    with pytest.raises(ModelError, match="an aesthetic head has the tensors"):
        convert_laion_head(tmp_path / "head.pth", tmp_path / "out.safetensors", None)
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="it should map names to tensors"):
        convert_laion_head(tmp_path / "list.pth", tmp_path / "out.safetensors", None)
    assert not (tmp_path / "out.safetensors").exists()
