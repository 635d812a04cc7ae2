"""A :class:`coti.core.tensors.TensorBundle` as one safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from zenml.enums import ArtifactType, VisualizationType

from coti.core.tensors import TensorBundle
from materializers.files import FileMaterializer

__all__ = ["TensorBundleMaterializer"]


class TensorBundleMaterializer(FileMaterializer):
    """Stores ``bundle.safetensors``; its metadata lists names and shapes."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (TensorBundle,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    FILES = ("bundle.safetensors",)

    def read(self, data_type: type[Any], *paths: Path) -> TensorBundle:
        """Map the bundle."""
        return TensorBundle.load(paths[0])

    def write(self, data: TensorBundle, *paths: Path) -> None:
        """Write the bundle."""
        data.save(paths[0])

    def save_visualizations(self, data: TensorBundle) -> dict[str, VisualizationType]:
        """A row a tensor: what it is and how many rows it has."""
        rows = [
            {
                "tensor": name,
                "rows": tensor.shape[0] if tensor.ndim else 1,
                "shape": " × ".join(map(str, tensor.shape)),
                "type": str(tensor.dtype).removeprefix("torch."),
            }
            for name, tensor in data.tensors.items()
        ]
        return self.show_table(pd.DataFrame(rows, columns=["tensor", "rows", "shape", "type"]))

    def extract_metadata(self, data: TensorBundle) -> dict[str, Any]:
        """Names and shapes of the tensors."""
        return {"shapes": {name: str(tuple(tensor.shape)) for name, tensor in data.tensors.items()}}
