"""A learned embedding as the file that diffusers and the WebUIs load."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from zenml.enums import ArtifactType, VisualizationType

from coti.inversion.adapters.embedding import Embedding
from materializers.files import FileMaterializer

__all__ = ["EmbeddingMaterializer"]


class EmbeddingMaterializer(FileMaterializer):
    """Stores ``learned_embeds.safetensors``: one key, the token."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Embedding,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL
    FILES = ("learned_embeds.safetensors",)

    def read(self, data_type: type[Any], *paths: Path) -> Embedding:
        """Read the embedding."""
        return Embedding.load(paths[0])

    def write(self, data: Embedding, *paths: Path) -> None:
        """Write the embedding."""
        data.save(paths[0])

    def save_visualizations(self, data: Embedding) -> dict[str, VisualizationType]:
        """A row a vector: how long it is, its least and greatest number."""
        rows = [
            {
                "text encoder": key,
                "vector": number,
                "width": len(vector),
                "length": float(vector.norm()),
                "least": float(vector.min()),
                "greatest": float(vector.max()),
            }
            for key, part in data.named_parts.items()
            for number, vector in enumerate(part.detach(), 1)
        ]
        return self.show_table(pd.DataFrame(rows))

    def extract_metadata(self, data: Embedding) -> dict[str, Any]:
        """Token, shape and what stands in the file's header."""
        return {"token": data.token, "shape": str(tuple(data.parts[0].shape)), **data.metadata}
