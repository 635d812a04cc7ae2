"""What the studio shows, read from the registry and the runs; the page only lays it out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from coti.inversion.adapters.embedding import Embedding
from coti.settings import GenerationSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from torch import Tensor

    from ops.tracking.tracked_embeddings import TrackedEmbedding

__all__ = ["CycleRecord", "cycle_records", "generated", "selection_sheet", "versions_of"]

METRICS = ("phi", "phi_ref", "fd_judge", "r_precision", "picked", "train_size")
"""Of a cycle, in the order in which they are shown."""


@dataclass(frozen=True)
class CycleRecord:
    """A cycle of a training run."""

    found: TrackedEmbedding
    metrics: dict[str, float]


def versions_of(client: MlflowClient, concept: str) -> dict[str, TrackedEmbedding]:
    """All versions by label, the newest first: that is the one to look at."""
    from ops.registry.embedding_registry import Registry

    registry = Registry.find(client, concept)
    found = map(registry.embedding, reversed(registry.versions()))
    return {each.label: each for each in found}


def cycle_records(client: MlflowClient, run_id: str) -> list[CycleRecord]:
    """The cycles of the run that trained a version, the first first."""
    from ops.tracking.tracked_embeddings import cycle_embedding, cycle_runs

    return [
        CycleRecord(
            cycle_embedding(client, run),
            {name: run.data.metrics[name] for name in METRICS if name in run.data.metrics},
        )
        for run in cycle_runs(client, run_id)
    ]


def selection_sheet(client: MlflowClient, run_id: str, which: str) -> bytes | None:
    """A cycle's contact sheet, ``picked`` or ``refused``, as PNG; none where nothing was."""
    name = f"selection/{which}.png"
    if name not in {file.path for file in client.list_artifacts(run_id, "selection")}:
        return None
    with TemporaryDirectory(prefix="coti-") as folder:
        return Path(client.download_artifacts(run_id, name, folder)).read_bytes()


def generated(
    embedding: Embedding, prompt: str, count: int, seed: int, steps: int, guidance_scale: float
) -> Tensor:
    """Images of a prompt on the noise of ``seed``, uint8 [count, 3, h, w].

    Raises:
        CotiError: what :func:`coti.generation.prompted.draw_prompts` refuses.
    """
    from coti.commands.embedding_sources import origin_of_embedding
    from coti.generation.prompted import draw_prompts
    from coti.settings import ModelSettings
    from ops.stack.loaded_models import text_to_image

    name = embedding.metadata.get("base_model", ModelSettings().base_model)
    settings = GenerationSettings(num_inference_steps=steps, guidance_scale=guidance_scale)
    where = {"base_model": name, **origin_of_embedding(embedding)}
    model = text_to_image(ModelSettings(**cast(Any, where)))
    return draw_prompts(model, [prompt], [embedding], settings, seed, num_images=count).images
