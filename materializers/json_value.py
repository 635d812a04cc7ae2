"""What JSON can say, and a page of HTML, in place of ZenML's own, which compare no hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.materializer_registry import materializer_registry
from zenml.types import HTMLString

from materializers.files import FileMaterializer

__all__ = ["HtmlMaterializer", "JsonMaterializer"]


class JsonMaterializer(FileMaterializer):
    """Stores ``data.json``; tuples come back as lists."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (dict, list, tuple, str, int, float, bool)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    FILES = ("data.json",)

    def read(self, data_type: type[Any], *paths: Path) -> Any:
        """Read the value."""
        return json.loads(paths[0].read_text(encoding="utf-8"))

    def write(self, data: Any, *paths: Path) -> None:
        """Write the value."""
        paths[0].write_text(json.dumps(data), encoding="utf-8")

    def save_visualizations(self, data: Any) -> dict[str, VisualizationType]:
        """The file itself."""
        return {f"{self.uri}/{self.FILES[0]}": VisualizationType.JSON}

    def extract_metadata(self, data: Any) -> dict[str, Any]:
        """How long it is, or what it says."""
        return {"length": len(data)} if hasattr(data, "__len__") else {"value": str(data)}

    def get_item_count(self, data: Any) -> int | None:
        """Of a list, over which a step may be mapped."""
        return len(data) if isinstance(data, list | tuple) else None

    def load_item(self, data_type: type[Any], index: int) -> Any:
        """One of a list."""
        return self.load(list)[index]


class HtmlMaterializer(FileMaterializer):
    """Stores ``output.html``, which the dashboard shows."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (HTMLString,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    FILES = ("output.html",)

    def read(self, data_type: type[Any], *paths: Path) -> HTMLString:
        """Read the page."""
        return HTMLString(paths[0].read_bytes().decode())

    def write(self, data: HTMLString, *paths: Path) -> None:
        """Write the page."""
        paths[0].write_bytes(data.encode())

    def save_visualizations(self, data: HTMLString) -> dict[str, VisualizationType]:
        """The page itself."""
        return {f"{self.uri}/{self.FILES[0]}": VisualizationType.HTML}


for _materializer in (JsonMaterializer, HtmlMaterializer):
    for _type in _materializer.ASSOCIATED_TYPES:
        # ZenML's own were there first, and keep the place otherwise.
        materializer_registry.register_and_overwrite_type(_type, _materializer)
