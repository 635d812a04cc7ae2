"""A pool's manifest judged, and what a person is told of it: in a sentence, and on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coti.core.errors import PoolError
from coti.core.fitting import Fit
from coti.core.shown_names import printable
from coti.pool.cut_images import cut_sentence, shares_cut
from coti.pool.pool_images import PoolImages
from coti.pool.pool_report import render_report
from coti.pool.validation import Validation, validate
from coti.settings import PoolSettings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ExaminedPool", "examine_pool"]


@dataclass(frozen=True)
class ExaminedPool:
    """What was found."""

    validation: Validation
    problem: str
    """Why the pool as a whole cannot be used; empty where it can."""
    cut: str
    """What cropping costs the accepted images; empty where it takes much of none."""
    page: str
    """The report as HTML, of a pool that cannot be used, too."""


def examine_pool(
    manifest: pd.DataFrame,
    images: PoolImages | None,  # none where they are far away: the page has names in their place
    settings: PoolSettings,
    *,
    source: str,
    kind: str,  # of source
    notes: Sequence[str] = (),
    fit: Fit | None = None,  # how images became squares
    previous: Mapping[str, float] | None = None,  # profile of the version before
    least: int = 0,  # accepted images that are needed
) -> ExaminedPool:
    """Judge every row, and write what a person reads of it.

    Raises:
        PoolError: rows don't add up.
    """
    problem = ""
    try:
        validation = validate(manifest, settings, previous=previous)
    except PoolError as error:
        found = getattr(error, "validation", None)
        if not isinstance(found, Validation):
            raise
        validation, problem = found, str(error)
    accepted = validation.accepted
    if not problem and len(accepted) < least:
        problem = (
            f"{least} images are to be added at once and the pool has {len(accepted)} "
            "accepted ones: lower selection.batch (or baseline_images), or give a larger pool."
        )
    page = render_report(printable(source), kind, validation, images, notes, fit)
    cut = cut_sentence(shares_cut(accepted, fit or Fit()), "the accepted images")
    return ExaminedPool(validation, problem, cut, page)
