"""The sanitised images of a pool as Parquet: an id and a PNG a row."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import ArtifactType
from zenml.materializers.base_materializer import BaseMaterializer

from coti.pool.pool_images import PoolImages
from materializers.files import store

__all__ = ["PoolImagesMaterializer"]


class PoolImagesMaterializer(BaseMaterializer):
    """Stores ``images.parquet``."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (PoolImages,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    FILE = "images.parquet"

    def load(self, data_type: type[Any]) -> PoolImages:
        """Open the file where it lies; of a remote one only what is asked for travels."""
        local = Path(self.uri) / self.FILE
        if local.is_file():
            return PoolImages(local)
        return PoolImages(self.artifact_store.open(f"{self.uri}/{self.FILE}", "rb"))

    def save(self, data: PoolImages) -> None:
        """Write all images."""
        store(self, self.FILE, data.write)

    def extract_metadata(self, data: PoolImages) -> dict[str, Any]:
        """How many images."""
        return {"images": len(data)}

    def compute_content_hash(self, data: PoolImages) -> str | None:
        """Hash of ids and PNG bytes."""
        digest = hashlib.sha256()
        for name, png in zip(data.ids, data.png(data.ids), strict=True):
            digest.update(name.encode() + b"\0" + hashlib.sha256(png).digest())
        return digest.hexdigest()
