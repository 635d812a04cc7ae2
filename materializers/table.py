"""A pandas table as Parquet."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

import pandas as pd
from zenml.enums import ArtifactType
from zenml.materializers.base_materializer import BaseMaterializer

from materializers.files import fetch, store

__all__ = ["TableMaterializer"]


class TableMaterializer(BaseMaterializer):
    """Stores ``table.parquet``."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (pd.DataFrame,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    SKIP_REGISTRATION: ClassVar[bool] = True
    FILE = "table.parquet"

    def load(self, data_type: type[Any]) -> pd.DataFrame:
        """Read the table."""
        with fetch(self, self.FILE) as path:
            return pd.read_parquet(path)

    def save(self, data: pd.DataFrame) -> None:
        """Write the table."""
        store(self, self.FILE, lambda path: data.to_parquet(path, index=False))

    def extract_metadata(self, data: pd.DataFrame) -> dict[str, Any]:
        """Rows and columns."""
        return {"rows": len(data), "columns": [str(column) for column in data.columns]}

    def compute_content_hash(self, data: pd.DataFrame) -> str | None:
        """Hash of column names and rows."""
        digest = hashlib.sha256("\x1f".join(map(str, data.columns)).encode())
        digest.update(data.to_json(orient="values", double_precision=15).encode())
        return digest.hexdigest()
