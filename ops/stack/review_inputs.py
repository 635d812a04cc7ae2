"""What people decided of images, from the settings to the steps that obey it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from zenml import ExternalArtifact

from coti.loop.inputs import Reviewed
from coti.loop.reviewed import ratings_of, reviewed_images, used_seeds
from coti.pool.manifest import recaptioned
from coti.selection.decisions import Review, read_review
from coti.settings import RunSettings
from ops.stack.locations import locate
from ops.stack.loop_inputs import RATED

__all__ = ["review_artifact", "review_of", "reviewed_of", "reviewed_seeds", "with_review"]

_SAID = "review"
"""A column of the accepted images' table where there is a review, beside ``RATED``."""


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
        RATED: accepted["id"].map(dict(reviewed.ratings)).astype("float64"),
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
    rated = table.assign(**{RATED: table["id"].map(ratings_of(review, ids)).astype("float64")})
    return rated.iloc[used_seeds(review, ids)].reset_index(drop=True)


def reviewed_of(accepted: pd.DataFrame, training_set: pd.DataFrame) -> Reviewed | None:
    """What people decided of the pool and the seeds, where they did."""
    if _SAID not in accepted:
        return None
    rated = pd.concat([accepted[["id", RATED]], training_set[["id", RATED]]]).dropna()
    ids = {said: frozenset(rows["id"].astype(str)) for said, rows in accepted.groupby(_SAID)}
    return Reviewed(
        kept=ids.get("keep", frozenset()),
        dropped=ids.get("drop", frozenset()),
        ratings=dict(zip(rated["id"].astype(str), rated[RATED].astype(float), strict=True)),
    )
