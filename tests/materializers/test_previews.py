"""What ZenML's dashboard shows of an artifact, and that it is no part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
import torch
from PIL import Image
from zenml.artifact_stores import LocalArtifactStore, LocalArtifactStoreConfig
from zenml.enums import StackComponentType, VisualizationType
from zenml.utils.time_utils import utc_now

from coti.core.tensors import TensorBundle
from coti.inversion.adapters.embedding import Embedding
from coti.pool.pool_images import ImageWriter, PoolImages
from materializers.embedding_safetensors import EmbeddingMaterializer
from materializers.files import SHOWN, FileMaterializer
from materializers.image_parquet import PoolImagesMaterializer
from materializers.table_parquet import TableMaterializer
from materializers.tensor_bundle import TensorBundleMaterializer
from tests.coti.report.test_report import png


def preview(kind: type[FileMaterializer], data: Any, folder: Path) -> Path:
    """The one file that the dashboard shows of an artifact."""
    folder.mkdir()
    store = LocalArtifactStore(
        name="store",
        id=uuid4(),
        config=LocalArtifactStoreConfig(path=str(folder)),
        flavor="local",
        type=StackComponentType.ARTIFACT_STORE,
        user=None,
        created=utc_now(),
        updated=utc_now(),
    )
    materializer = kind(str(folder), store)
    materializer.save(data)
    written = materializer.compute_content_hash(data)
    ((uri, how),) = materializer.save_visualizations(data).items()
    assert materializer.compute_content_hash(data) == written
    image = Path(uri).suffix == ".png"
    assert how == (VisualizationType.IMAGE if image else VisualizationType.CSV)
    return Path(uri)


@pytest.mark.parametrize(
    ("kind", "data", "first"),
    [
        (
            TableMaterializer,
            pd.DataFrame({"id": ["a, b"] * 200, "score": [1.1e-11] * 200}),
            {"id": "a, b", "score": 1.1e-11},
        ),
        (
            EmbeddingMaterializer,
            Embedding("<x>", (torch.tensor([[3.0, -4.0]]),)),
            {"text encoder": "<x>", "vector": 1, "width": 2, "length": 5, "least": -4},
        ),
        (
            TensorBundleMaterializer,
            TensorBundle({"pool": torch.zeros(7, 512)}),
            {"tensor": "pool", "rows": 7, "shape": "7 × 512", "type": "float32"},
        ),
    ],
)
def test_a_table_of_what_is_in_it(
    kind: type[FileMaterializer], data: Any, first: dict[str, Any], tmp_path: Path
) -> None:
    """Short enough for a page."""
    table = pd.read_csv(preview(kind, data, tmp_path / "artifact"))
    assert len(table) <= SHOWN
    assert table.to_dict("records")[0].items() >= first.items()


def test_a_pool_is_shown_by_its_first_images(tmp_path: Path) -> None:
    """A sheet of them."""
    writer = ImageWriter(tmp_path / "pool.parquet")
    for number in range(SHOWN + 1):
        writer.add(str(number), png(0, 8))
    writer.close()
    path = preview(PoolImagesMaterializer, PoolImages(tmp_path / "pool.parquet"), tmp_path / "a")
    with Image.open(path) as sheet:
        assert sheet.width == sheet.height
