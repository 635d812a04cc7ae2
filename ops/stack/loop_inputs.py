"""The tables that steps hand on, as the loop's own objects, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from coti.core.tensors import TensorBundle
from coti.inversion.adapters.embedding import Embedding
from coti.loop.training_set import TrainingSet
from coti.metrics.ground_truth import read_ground_truth
from coti.settings import RunSettings
from ops.stack.locations import locate

__all__ = [
    "RATED",
    "captions_of",
    "columns_of",
    "embedding_bundle",
    "embedding_of",
    "ground_truth_of",
    "on_device",
    "plain",
    "sources_of",
    "training_set_of",
    "training_table",
]


RATED = "review_rating"
"""A column of X_T's table where there is a review."""


def training_set_of(table: pd.DataFrame) -> TrainingSet:
    """X_T from its table: ``id``, ``origin`` (``seed`` or ``pool``), ``cycle``, ``source``."""
    seeds = table["origin"] == "seed"
    return TrainingSet(
        tuple(table.loc[seeds, "id"].astype(str)),
        tuple(table.loc[~seeds, "id"].astype(str)),
        tuple(int(cycle) for cycle in table.loc[~seeds, "cycle"]),
    )


def training_table(before: pd.DataFrame, ids: list[str], cycle: int) -> pd.DataFrame:
    """The table with the images that a cycle added."""
    added = pd.DataFrame({"id": ids, "origin": "pool", "cycle": cycle, "source": ""})
    if RATED in before:
        added[RATED] = float("nan")
    return pd.concat([before, added], ignore_index=True)


def sources_of(accepted: pd.DataFrame, training_set: pd.DataFrame) -> dict[str, str]:
    """Id to file name, of the pool's accepted images and of the seeds."""
    seeds = training_set[training_set["origin"] == "seed"]
    found = dict(zip(seeds["id"].astype(str), seeds["source"].astype(str), strict=True))
    return found | dict(
        zip(accepted["id"].astype(str), accepted["source"].astype(str), strict=True)
    )


def captions_of(accepted: pd.DataFrame) -> dict[str, str]:
    """Id to caption, of the pool's accepted images."""
    texts = accepted["caption"].fillna("").astype(str)
    return dict(zip(accepted["id"].astype(str), texts, strict=True))


def columns_of(scores: pd.DataFrame, ids: list[str]) -> dict[str, torch.Tensor]:
    """The columns of a score table in the pool's order, float32 [n] each."""
    table = scores.set_index("id").loc[ids]
    names = [name for name in ("s_aes", "s_con", "s_int", "score", "least_cosine") if name in table]
    return {name: torch.tensor(table[name].to_numpy()) for name in names}


def ground_truth_of(settings: RunSettings) -> dict[str, bool] | None:
    """File name to whether an image is clean, where the settings name a file of it."""
    if settings.ground_truth is None:
        return None
    return read_ground_truth(Path(locate(settings.ground_truth)), settings.concept)


def on_device(settings: RunSettings, device: str) -> RunSettings:
    """The settings with the device that is no part of a step's cache key."""
    return replace(settings, model=replace(settings.model, device=device))


def embedding_bundle(embedding: Embedding | None) -> TensorBundle:
    """An embedding, or none, as tensors by their keys in a file."""
    if embedding is None:
        return TensorBundle({})
    about = {**embedding.metadata, "token": embedding.token, "keys": "\n".join(embedding.keys)}
    return TensorBundle(embedding.named_parts, about)


def embedding_of(bundle: TensorBundle) -> Embedding | None:
    """The embedding of :func:`embedding_bundle`."""
    if not bundle.tensors:
        return None
    metadata = dict(bundle.metadata)
    token, keys = metadata.pop("token"), tuple(metadata.pop("keys").splitlines())
    parts = tuple(bundle[key] for key in keys or (token,))
    return Embedding(token, parts, metadata, keys)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """JSON values: NaN becomes null."""
    return {k: None if isinstance(v, float) and v != v else v for k, v in row.items()}
