"""Named tensors with a little text beside them: what a safetensors file holds.

Loading maps the file instead of reading it: a tensor larger than the memory is read where it is
used. Lists of strings are tensors of bytes too, since a file's header may hold 100 MB at most.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from coti.core.errors import ModelError
from coti.core.whole_files import whole_file

__all__ = ["TensorBundle"]


_STRINGS = ".json"
"""Ends the names of the tensors that hold strings; a tensor and strings may share a name."""


@dataclass
class TensorBundle:
    """Tensors by name, and strings by name for the file's header."""

    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[name]

    def strings(self, name: str) -> list[str]:
        """A list of strings (ids, captions) that was put in with :meth:`with_strings`."""
        return list(json.loads(self.tensors[name + _STRINGS].numpy().tobytes()))

    def with_strings(self, name: str, values: list[str]) -> TensorBundle:
        """The same bundle with a list of strings beside its tensors."""
        text = torch.frombuffer(bytearray(json.dumps(values).encode()), dtype=torch.uint8)
        return TensorBundle({**self.tensors, name + _STRINGS: text}, self.metadata)

    def save(self, path: Path) -> None:
        """Write one safetensors file, whole or not at all; the same bundle, the same bytes."""
        tensors = {name: tensor.contiguous().cpu() for name, tensor in self.tensors.items()}
        # Without both tensors and metadata, safetensors writes a header that it cannot read.
        with whole_file(path) as part:
            save_file(tensors, str(part), metadata=self.metadata or {"format": "pt"})
            _sort_metadata(part)

    @classmethod
    def load(cls, path: Path) -> TensorBundle:
        """Read one safetensors file; raises :class:`ModelError` where it isn't one."""
        try:
            with safe_open(str(path), framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return cls(tensors, dict(file.metadata() or {}))
        except Exception as error:  # safetensors raises a type of its own for every fault
            raise ModelError(f"{path}: not a safetensors file that can be read: {error}") from error


def _sort_metadata(path: Path) -> None:
    """The library writes metadata in an order that changes from call to call."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= size
        file.seek(8)
        file.write(text.ljust(size))
