"""Metrics as pure functions on features and ids; none of them knows who made the features."""

from coti.metrics.balance import class_shares, evenness
from coti.metrics.editability import editability, reconstruction
from coti.metrics.frechet import frechet_distance
from coti.metrics.kid import KID, kid, polynomial_mmd
from coti.metrics.r_precision import r_precision
from coti.metrics.selection_precision import selection_precision
from coti.metrics.table import METRICS, Metric

__all__ = [
    "KID",
    "METRICS",
    "Metric",
    "class_shares",
    "editability",
    "evenness",
    "frechet_distance",
    "kid",
    "polynomial_mmd",
    "r_precision",
    "reconstruction",
    "selection_precision",
]
