"""Images of one size as one lossless PNG, side by side."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from zenml.enums import ArtifactType, VisualizationType

from coti.core.image_set import ImageSet
from materializers.files import FileMaterializer

__all__ = ["ImageSetMaterializer"]


class ImageSetMaterializer(FileMaterializer):
    """Stores ``mosaic.png`` and ``names.json``; the mosaic is what the dashboard shows."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (ImageSet,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA
    FILES = ("mosaic.png", "names.json")

    def read(self, data_type: type[Any], *paths: Path) -> ImageSet:
        """Cut the mosaic into its images."""
        names, columns, height, width = json.loads(paths[1].read_text(encoding="utf-8"))
        with Image.open(paths[0]) as file:
            mosaic = torch.from_numpy(np.array(file.convert("RGB")))
        rows = mosaic.shape[0] // height
        cells = mosaic.reshape(rows, height, columns, width, 3).permute(0, 2, 4, 1, 3)
        images = cells.reshape(rows * columns, 3, height, width)
        return ImageSet(names, images[: len(names)].contiguous())

    def write(self, data: ImageSet, *paths: Path) -> None:
        """Lay the images side by side."""
        count, _, height, width = data.images.shape
        columns = max(1, math.ceil(math.sqrt(count)))
        rows = math.ceil(count / columns)
        cells = torch.zeros(rows * columns, 3, height, width, dtype=torch.uint8)
        cells[:count] = data.images
        mosaic = cells.reshape(rows, columns, 3, height, width).permute(0, 3, 1, 4, 2)
        image = Image.fromarray(mosaic.reshape(rows * height, columns * width, 3).numpy())
        image.save(paths[0], compress_level=4)
        paths[1].write_text(json.dumps([data.names, columns, height, width]), encoding="utf-8")

    def save_visualizations(self, data: ImageSet) -> dict[str, VisualizationType]:
        """The mosaic itself."""
        return {f"{self.uri}/{self.FILES[0]}": VisualizationType.IMAGE}

    def extract_metadata(self, data: ImageSet) -> dict[str, Any]:
        """How many images of which size."""
        return {"images": len(data.names), "size": str(tuple(data.images.shape[2:]))}
