from __future__ import annotations

import pytest
import torch

from coti.core.sealed import sealed_bytes, unsealed

TENSORS = {"a": torch.arange(3.0), "empty": torch.empty(0)}
METADATA = {"state": '{"step": 7, "sha256":"0"}', "format": "pt"}


def test_what_is_sealed_is_read() -> None:
    """Tensors and metadata, the seal not among them."""
    tensors, metadata = unsealed(sealed_bytes(TENSORS, METADATA))
    assert metadata == METADATA
    assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())


def test_every_flipped_bit_is_seen() -> None:
    """Header, tensors, lengths, padding and the seal itself; and every cut."""
    content = sealed_bytes(TENSORS, METADATA)
    for place in range(8 * len(content)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"^it (cannot be read|is not what was written)"):
            unsealed(bytes(changed))
    for end in range(len(content)):
        with pytest.raises(ValueError, match=r"^it "):
            unsealed(content[:end])
