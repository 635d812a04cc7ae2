"""Between an artifact store (local or S3) and libraries that want a file on disk."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from zenml.materializers.base_materializer import BaseMaterializer

__all__ = ["fetch", "hash_of_tensors", "store"]


@contextmanager
def fetch(materializer: BaseMaterializer, name: str) -> Iterator[Path]:
    """One file of the artifact where it lies, or a copy for as long as the context lasts.

    Either may be mapped into memory: a mapping outlives the file's name.
    """
    local = Path(materializer.uri) / name
    if local.is_file():
        yield local
        return
    with TemporaryDirectory(prefix="coti-") as folder:
        path = Path(folder) / name
        with (
            materializer.artifact_store.open(f"{materializer.uri}/{name}", "rb") as source,
            path.open("wb") as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
        yield path


def store(materializer: BaseMaterializer, name: str, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a local file and put it into the artifact."""
    with TemporaryDirectory(prefix="coti-") as folder:
        path = Path(folder) / name
        write(path)
        with (
            path.open("rb") as source,
            materializer.artifact_store.open(f"{materializer.uri}/{name}", "wb") as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)


def hash_of_tensors(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """One hash over names, shapes, dtypes, bytes and text, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    for name in sorted(metadata):
        digest.update(f"{name}={metadata[name]}".encode())
    return digest.hexdigest()
