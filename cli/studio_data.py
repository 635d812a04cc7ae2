"""What the studio shows, read from the registry and the runs; the page only lays it out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from coti.inversion.adapters.embedding import Embedding
from coti.settings import GenerationSettings

if TYPE_CHECKING:
    from torch import Tensor

    from ops.registry.published import Published, PublishedWord

__all__ = [
    "CycleRecord",
    "cycle_records",
    "draw_word",
    "selection_sheet",
    "sheet_of",
    "versions_of",
]

METRICS = ("phi", "phi_ref", "fd_judge", "r_precision", "picked", "train_size")
"""Of a cycle, in the order in which they are shown."""


@dataclass(frozen=True)
class CycleRecord:
    """A cycle of a training run."""

    label: str
    run_id: str
    metrics: dict[str, float]


def versions_of(published: Published, concept: str) -> dict[str, PublishedWord]:
    """All versions by label, the newest first."""
    words = [published.word_of(version) for version in published.versions(concept)]
    return {word.label: word for word in reversed(words)}


def cycle_records(published: Published, run_id: str) -> list[CycleRecord]:
    """The cycles of the run that trained a version, the first first."""
    from ops.tracking.mlflow_record import CYCLE_TAG

    return [
        CycleRecord(
            f"cycle {run.data.tags[CYCLE_TAG]}",
            run.info.run_id,
            {name: run.data.metrics[name] for name in METRICS if name in run.data.metrics},
        )
        for run in published.cycle_runs(run_id)
    ]


def selection_sheet(published: Published, run_id: str, which: str) -> bytes | None:
    """A cycle's contact sheet, ``picked`` or ``refused``, as PNG; none where nothing was."""
    import mlflow.artifacts

    there = {file.path for file in published.client.list_artifacts(run_id, "selection")}
    name = f"selection/{which}.png"
    if name not in there:
        return None
    with TemporaryDirectory(prefix="coti-") as folder:
        path = mlflow.artifacts.download_artifacts(
            run_id=run_id,
            artifact_path=name,
            dst_path=folder,
            tracking_uri=published.tracking_uri,
        )
        return Path(path).read_bytes()


def draw_word(
    word: Embedding, prompt: str, count: int, seed: int, steps: int, guidance_scale: float
) -> Tensor:
    """Images of a prompt on the noise of ``seed``, uint8 [count, 3, h, w].

    Raises:
        CotiError: what :func:`coti.generation.prompted.draw_prompts` refuses.
    """
    from cli.word_sources import origin_of_word
    from coti.generation.prompted import draw_prompts
    from coti.settings import ModelSettings
    from ops.stack.loaded_models import text_to_image

    name = word.metadata.get("base_model", ModelSettings().base_model)
    settings = GenerationSettings(num_inference_steps=steps, guidance_scale=guidance_scale)
    where = {"base_model": name, **origin_of_word(word)}
    model = text_to_image(ModelSettings(**cast(Any, where)))
    return draw_prompts(model, [prompt], [word], settings, seed, num_images=count).images


def sheet_of(images: Any, columns: int) -> Any:
    """A grid of images for the page, uint8 [h, w, 3]; small ones enlarged pixel by pixel."""
    from coti.core.contact_sheet import tile

    return tile(images, columns, gap=2, scale=max(1, 96 // int(images.shape[-1])))
