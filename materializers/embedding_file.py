"""A learned embedding as the file that diffusers and the WebUIs load."""

from __future__ import annotations

from typing import Any, ClassVar

from zenml.enums import ArtifactType
from zenml.materializers.base_materializer import BaseMaterializer

from coti.inversion.adapters.embedding import Embedding
from materializers.files import fetch, hash_of_tensors, store

__all__ = ["EmbeddingMaterializer"]


class EmbeddingMaterializer(BaseMaterializer):
    """Stores ``learned_embeds.safetensors``: one key, the token."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Embedding,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL
    FILE = "learned_embeds.safetensors"

    def load(self, data_type: type[Any]) -> Embedding:
        """Read the embedding."""
        with fetch(self, self.FILE) as path:
            return Embedding.load(path)

    def save(self, data: Embedding) -> None:
        """Write the embedding."""
        store(self, self.FILE, data.save)

    def extract_metadata(self, data: Embedding) -> dict[str, Any]:
        """Token, shape and what stands in the file's header."""
        return {"token": data.token, "shape": str(tuple(data.parts[0].shape)), **data.metadata}

    def compute_content_hash(self, data: Embedding) -> str | None:
        """Hash of token, vectors of every text encoder, and header."""
        return hash_of_tensors(data.named_parts, data.metadata)
