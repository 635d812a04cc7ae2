"""A pandas table as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from zenml.enums import ArtifactType, VisualizationType

from materializers.files import FileMaterializer

__all__ = ["TableMaterializer"]


class TableMaterializer(FileMaterializer):
    """Stores ``table.parquet``."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (pd.DataFrame,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    SKIP_REGISTRATION: ClassVar[bool] = True
    FILES = ("table.parquet",)

    def read(self, data_type: type[Any], *paths: Path) -> pd.DataFrame:
        """Read the table."""
        return pd.read_parquet(paths[0])

    def write(self, data: pd.DataFrame, *paths: Path) -> None:
        """Write the table."""
        data.to_parquet(paths[0], index=False)

    def save_visualizations(self, data: pd.DataFrame) -> dict[str, VisualizationType]:
        """The first rows."""
        return self.show_table(data)

    def extract_metadata(self, data: pd.DataFrame) -> dict[str, Any]:
        """Rows and columns."""
        return {"rows": len(data), "columns": [str(column) for column in data.columns]}
