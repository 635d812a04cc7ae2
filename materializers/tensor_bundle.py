"""A :class:`coti.core.tensors.TensorBundle` as one safetensors file."""

from __future__ import annotations

from typing import Any, ClassVar

from zenml.enums import ArtifactType
from zenml.materializers.base_materializer import BaseMaterializer

from coti.core.tensors import TensorBundle
from materializers.files import fetch, hash_of_tensors, store

__all__ = ["TensorBundleMaterializer"]


class TensorBundleMaterializer(BaseMaterializer):
    """Stores ``bundle.safetensors``; its metadata lists names and shapes."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (TensorBundle,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    FILE = "bundle.safetensors"

    def load(self, data_type: type[Any]) -> TensorBundle:
        """Read the bundle."""
        with fetch(self, self.FILE) as path:
            return TensorBundle.load(path)

    def save(self, data: TensorBundle) -> None:
        """Write the bundle."""
        store(self, self.FILE, data.save)

    def extract_metadata(self, data: TensorBundle) -> dict[str, Any]:
        """Names and shapes of the tensors."""
        return {"shapes": {name: str(tuple(tensor.shape)) for name, tensor in data.tensors.items()}}

    def compute_content_hash(self, data: TensorBundle) -> str | None:
        """Hash of names, bytes and text."""
        return hash_of_tensors(data.tensors, data.metadata)
