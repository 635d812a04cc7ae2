"""The sanitised images of a pool as Parquet: an id and a PNG a row."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from zenml.enums import ArtifactType, VisualizationType

from coti.pool.pool_images import PoolImages
from materializers.files import SHOWN, DamagedArtifactError, FileMaterializer, damaged

__all__ = ["PoolImagesMaterializer"]


class PoolImagesMaterializer(FileMaterializer):
    """Stores ``images.parquet``; of a remote one only what is asked for travels.

    The hash is of ids and the images' hashes, which stand beside them. So the images themselves can
    be compared one by one, when they are read.
    """

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (PoolImages,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    FILES = ("images.parquet",)

    def load(self, data_type: type[Any]) -> PoolImages:
        """Open the file where it lies, if ids and hashes are what was written.

        Raises:
            DamagedArtifactError: they are not; or, when it is read, an image is not.
        """
        images = PoolImages(self._place(), self._damaged)
        expected = self.expected_content_hash
        if expected is not None and _hash_of(images) != expected:
            raise self._damaged()
        return images

    def verify(self) -> None:
        """Compare ids and hashes; the images, too, where that does not have to fetch them."""
        images = self.load(PoolImages)
        if isinstance(self._place(), Path):
            images.check()

    def write(self, data: PoolImages, *paths: Path) -> None:
        """Write all images."""
        data.write(paths[0])

    def save_visualizations(self, data: PoolImages) -> dict[str, VisualizationType]:
        """The first images."""
        first = data.ids[:SHOWN]
        return self.show_images(data.tensor(first)) if first else {}

    def extract_metadata(self, data: PoolImages) -> dict[str, Any]:
        """How many images."""
        return {"images": len(data)}

    def compute_content_hash(self, data: PoolImages) -> str | None:
        """Hash of ids and the images' hashes."""
        return _hash_of(data)

    def _place(self) -> Path | BinaryIO:
        local = Path(self.uri) / self.FILES[0]
        if local.is_file():
            return local
        try:
            return self.artifact_store.open(f"{self.uri}/{self.FILES[0]}", "rb")  # type: ignore[no-any-return]
        except FileNotFoundError as error:
            raise damaged(self.uri, "is gone") from error

    def _damaged(self) -> DamagedArtifactError:
        return damaged(self.uri)


def _hash_of(images: PoolImages) -> str:
    digest = hashlib.sha256()
    for name, found in images.hashes.items():
        digest.update(name.encode() + b"\0" + found)
    return digest.hexdigest()
