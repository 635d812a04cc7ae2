"""Artifacts as files, between an artifact store (local or S3) and libraries that want them on disk.

ZenML keeps a hash with every artifact version and hands it back when one is loaded; here it is
compared, for all artifacts of ours. Whatever changed in the store since it was written is said, and
is computed anew: no step reads it, and the cache gives it to no later run.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from zenml.enums import VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

from coti.core.contact_sheet import contact_sheet
from coti.core.errors import StoreError
from coti.core.whole_files import temporary_folder

__all__ = ["SHOWN", "DamagedArtifactError", "FileMaterializer", "damaged", "hash_of_tensors"]

SHOWN = 64
"""Most rows or images of a preview."""


class DamagedArtifactError(StoreError):
    """An artifact is not what its step wrote."""

    def __init__(self, what: str) -> None:
        """``what``: a clause that names it."""
        super().__init__(f"{what}: run the pipeline again, which computes it anew.")
        self.what = what


class FileMaterializer(BaseMaterializer):
    """Stores files of the names :attr:`FILES`; their hash is the artifact's."""

    SKIP_REGISTRATION: ClassVar[bool] = True
    FILES: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, data_type: type[Any], *paths: Path) -> Any:
        """The object in the files, which may be mapped into memory: that outlives their names."""

    @abstractmethod
    def write(self, data: Any, *paths: Path) -> None:
        """Fill the files; the same object, the same bytes."""

    def load(self, data_type: type[Any]) -> Any:
        """Read it, if it is what was written.

        Raises:
            DamagedArtifactError: it is not.
        """
        with self._fetched() as paths:
            self._compare(paths)
            return self.read(data_type, *paths)

    def verify(self) -> None:
        """Compare it with what was written, without reading it.

        Raises:
            DamagedArtifactError: it differs.
        """
        with self._fetched() as paths:
            self._compare(paths)

    def save(self, data: Any) -> None:
        """Write it."""
        with temporary_folder() as folder:
            paths = [folder / name for name in self.FILES]
            self.write(data, *paths)
            self._written = _hash_of_files(paths)
            for path in paths:
                with (
                    path.open("rb") as source,
                    self.artifact_store.open(f"{self.uri}/{path.name}", "wb") as target,
                ):
                    shutil.copyfileobj(source, target, 1 << 20)

    def compute_content_hash(self, data: Any) -> str | None:
        """Hash of the files that were saved."""
        return self._written

    def show_table(self, rows: pd.DataFrame) -> dict[str, VisualizationType]:
        """What the dashboard shows: a table of at most :data:`SHOWN` rows, numbers short."""
        head = rows.head(SHOWN)
        return self._show("preview.csv", head.to_csv(index=False, float_format="%.4g").encode())

    def show_images(self, images: torch.Tensor) -> dict[str, VisualizationType]:
        """What the dashboard shows: a contact sheet of uint8 ``[n, 3, height, width]``."""
        file = io.BytesIO()
        contact_sheet(images).save(file, "PNG")
        return self._show("preview.png", file.getvalue())

    def _show(self, name: str, content: bytes) -> dict[str, VisualizationType]:
        """A file beside the artifact's own, which is no part of it."""
        uri = f"{self.uri}/{name}"
        with self.artifact_store.open(uri, "wb") as target:
            target.write(content)
        kind = VisualizationType.CSV if name.endswith(".csv") else VisualizationType.IMAGE
        return {uri: kind}

    @contextmanager
    def _fetched(self) -> Iterator[list[Path]]:
        """The files where they lie, or copies for as long as the context lasts."""
        local = [Path(self.uri) / name for name in self.FILES]
        if all(path.is_file() for path in local):
            yield local
            return
        with temporary_folder() as folder:
            paths = [folder / name for name in self.FILES]
            try:
                for path in paths:
                    with (
                        self.artifact_store.open(f"{self.uri}/{path.name}", "rb") as source,
                        path.open("wb") as target,
                    ):
                        shutil.copyfileobj(source, target, 1 << 20)
            except FileNotFoundError as error:
                raise damaged(self.uri, "is gone") from error
            yield paths

    def _compare(self, paths: Sequence[Path]) -> None:
        expected = self.expected_content_hash
        if expected is not None and _hash_of_files(paths) != expected:
            raise damaged(self.uri)


def damaged(uri: str, how: str = "is not what was written") -> DamagedArtifactError:
    """What is said of the artifact at ``uri``; the cache does not give it any more.

    Args:
        uri: of the artifact.
        how: what is wrong with it.
    """
    from zenml.client import Client
    from zenml.utils.time_utils import utc_now

    client = Client()
    name, whose = "an artifact", ""
    for version in client.list_artifact_versions(uri=uri).items:
        name = f"the artifact {version.artifact.name!r}"
        if version.producer_step_run_id is not None:
            step = client.get_run_step(version.producer_step_run_id)
            client.update_step_run(step.id, cache_expires_at=utc_now())
            whose = f" of step {step.name!r}"
    return DamagedArtifactError(f"{name}{whose} {how} ({uri})")


def hash_of_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """One hash over names, shapes, dtypes and bytes, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _hash_of_files(paths: Sequence[Path]) -> str:
    """One hash over names and bytes."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            total.update(path.name.encode() + b"\0")
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
