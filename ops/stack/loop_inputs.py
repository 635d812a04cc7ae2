"""The tables that steps hand on, as the loop's own objects, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from zenml import ExternalArtifact

from coti.core.tensors import TensorBundle
from coti.inversion.adapters.embedding import Embedding
from coti.loop.reviewed import Reviewed, ratings_of, reviewed_images, used_seeds
from coti.loop.training_set import TrainingSet
from coti.metrics.ground_truth import read_ground_truth
from coti.pool.manifest import recaptioned
from coti.selection.decisions import Review, read_review
from coti.settings import RunSettings
from ops.stack.locations import locate

__all__ = [
    "captions_of",
    "columns_of",
    "embedding_bundle",
    "embedding_of",
    "ground_truth_of",
    "on_device",
    "plain",
    "review_artifact",
    "review_of",
    "reviewed_of",
    "reviewed_seeds",
    "sources_of",
    "training_set_of",
    "training_table",
    "with_review",
]

_SAID, _RATED = "review", "review_rating"
"""Columns of the accepted images' table where there is a review; the seeds' has the second."""


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
    if _RATED in before:
        added[_RATED] = float("nan")
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


def review_of(settings: RunSettings) -> Review | None:
    """The last word of what the settings name, where they name any."""
    at = settings.selection.review
    return None if at is None else read_review(locate(at))


def review_artifact(settings: RunSettings) -> ExternalArtifact | None:
    """What a step is given of a review: an artifact, which a cache key can leave out."""
    review = review_of(settings)
    if review is None:
        return None
    names = {"pool": settings.pool, "place": str(settings.selection.review)}
    return ExternalArtifact(value={"names": names, "said": review.plain()})


def with_review(
    accepted: pd.DataFrame, seed_ids: Sequence[str], given: Mapping[str, Any] | None
) -> pd.DataFrame:
    """The accepted images with what :func:`reviewed_of` reads, captions in place; ``given`` as
    :func:`review_artifact` has it.

    Raises:
        ConfigError: the review names none of them.
    """
    if given is None:
        return accepted
    ids = [str(name) for name in accepted["id"]]
    reviewed = reviewed_images(Review(**given["said"]), ids, seed_ids, **given["names"])
    said = dict.fromkeys(reviewed.kept, "keep") | dict.fromkeys(reviewed.dropped, "drop")
    columns: dict[str, Any] = {
        _SAID: pd.Series([said.get(name, "") for name in ids], accepted.index, dtype="str"),
        _RATED: accepted["id"].map(dict(reviewed.ratings)).astype("float64"),
    }
    return recaptioned(accepted, reviewed.captions).assign(**columns)


def reviewed_seeds(table: pd.DataFrame, given: Mapping[str, Any] | None) -> pd.DataFrame:
    """The seeds' table without what a review drops, with its ratings.

    Raises:
        ConfigError: too few are left.
    """
    if given is None:
        return table
    review, ids = Review(**given["said"]), [str(name) for name in table["id"]]
    rated = table.assign(**{_RATED: table["id"].map(ratings_of(review, ids)).astype("float64")})
    return rated.iloc[used_seeds(review, ids)].reset_index(drop=True)


def reviewed_of(accepted: pd.DataFrame, training_set: pd.DataFrame) -> Reviewed | None:
    """What people decided of the pool and the seeds, where they did."""
    if _SAID not in accepted:
        return None
    rated = pd.concat([accepted[["id", _RATED]], training_set[["id", _RATED]]]).dropna()
    ids = {said: frozenset(rows["id"].astype(str)) for said, rows in accepted.groupby(_SAID)}
    return Reviewed(
        kept=ids.get("keep", frozenset()),
        dropped=ids.get("drop", frozenset()),
        ratings=dict(zip(rated["id"].astype(str), rated[_RATED].astype(float), strict=True)),
    )


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
