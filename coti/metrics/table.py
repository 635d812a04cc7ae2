"""The one table of metrics: what each is called, how it is written, and whether it may steer.

Terminal, CSV, report, MLflow, studio, the experiments' tables and the promotion gate read it. To
add a metric: its function in a file of its own, a row here, a test.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

__all__ = ["METRICS", "MISSING", "Metric", "Need", "compared", "headline", "is_better", "known"]

MISSING = "–"
"""What is written where there is no value."""

Need = Literal[
    "captions",  # another candidate than the concept's own
    "authors_captions",  # those of ImageNet's classes
    "references",  # and generations, at least four of either
    "judge_images",  # as many of either as the judge has features
    "ssl_judge_images",  # likewise, of the class-blind judge
    "inception_images",  # likewise
    "reference_judge_images",  # likewise
    "training_set",  # at least two of its images, and references, more than neighbours
    "ground_truth",  # and picked images
    "prompts",  # an embedding, and images of it in scenes
]
"""What a metric cannot be measured without; without it, it is missing."""


@dataclass(frozen=True)
class Metric:
    """One number of a cycle or of a run's kept embedding."""

    name: str
    """Its key in records, CSV and MLflow."""
    label: str
    """For people."""
    about: str
    """A sentence: of what, on whose features."""
    better: Literal["higher", "lower", ""] = ""
    """Empty: neither, or a part of another metric."""
    digits: int = 3
    """Decimals, wherever it is written."""
    needs: frozenset[Need] = frozenset()
    steers: bool = False
    """Whether selection, training and stopping may look at it."""
    interval: tuple[str, str] | None = None
    """Names of the metrics that are its lower and upper end."""
    of: str = ""
    """The metric that this one is a part or a detail of; it has no column of its own then."""
    scale: float | None = None
    """Upper end of an axis that starts at 0; none: it has no scale."""
    short: str = ""
    """For the heading of a narrow table; the label where empty."""
    cycle: bool = True
    """Whether it is measured in every cycle, or of the kept embedding alone."""
    headline: bool = False
    """Whether it is shown where there is room for a few."""

    def format(
        self, value: float | None, *, spread: float | None = None, ends: Sequence[float | None] = ()
    ) -> str:
        """The value as every reader writes it; a dash where it is missing.

        With ``spread``, a deviation, and ``ends`` of its interval, where these are known.

        >>> METRICS["kid"].format(0.02, spread=0.014142, ends=(0.01, 0.035))
        '0.0200 ± 0.0141 [0.0100, 0.0350]'
        """
        if not _is_known(value):
            return MISSING
        text = f"{value:.{self.digits}f}"
        if _is_known(spread):
            text += f" ± {spread:.{self.digits}f}"
        if ends and all(map(_is_known, ends)):
            text += f" [{', '.join(f'{end:.{self.digits}f}' for end in ends)}]"
        return text

    def measurable(self, there: Collection[Need]) -> bool:
        """Whether nothing is missing that it needs."""
        return self.needs <= set(there)

    @property
    def arrow(self) -> str:
        """``↑``, ``↓`` or nothing."""
        return {"higher": "↑", "lower": "↓", "": ""}[self.better]

    @property
    def heading(self) -> str:
        """Label and arrow."""
        return f"{self.label} {self.arrow}".strip()


def _is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _need(*names: Need) -> frozenset[Need]:
    return frozenset(names)


_ROWS = (
    Metric(
        "gamma_aes", "γ_aes", "mean S_aes of the generations (Eq. 9), 0 to 10",
        "higher", 2, steers=True, scale=10.0,
    ),
    Metric(
        "gamma_con", "γ_con", "mean S_con of the generations (Eq. 10), 0 to 10",
        "higher", 2, steers=True, scale=10.0,
    ),
    Metric(
        "phi", "φ", "Eq. 12 of both; its scorers are refitted, so cycles can't be compared by it",
        "higher", 2, steers=True, scale=10.0,
    ),
    Metric(
        "phi_ref", "φ_ref", "Eq. 12 with the first scorer and the seeds alone; compares cycles",
        "higher", 2, steers=True, scale=10.0, headline=True,
    ),
    Metric(
        "kid_train", "KID X_T",
        "KID of the generations to X_T on the scorer's features: nearness in kind and variety",
        "lower", 3, steers=True,
    ),
    Metric(
        "kid_kept", "KID X_T of the kept",
        "the same of the embedding that was kept before, against this cycle's X_T",
        "lower", 3, steers=True, of="kid_train",
    ),
    Metric(
        "fd_judge", "fd_judge",
        "Fréchet distance to held-out references on the judge's features",
        "lower", 3, needs=_need("judge_images"), headline=True,
    ),
    Metric(
        "fid", "FID", "Fréchet distance to held-out references on Inception-v3's features",
        "lower", 3, needs=_need("inception_images"), headline=True,
    ),
    Metric(
        "fd_efficientnet", "fd_efficientnet",
        "Fréchet distance on the reference judge's features, EfficientNet-Lite0's",
        "lower", 3, needs=_need("reference_judge_images"), cycle=False,
    ),
    Metric(
        "kid", "KID", "unbiased kernel distance to held-out references on the judge's features",
        "lower", 4, needs=_need("references"), interval=("kid_low", "kid_high"),
    ),
    Metric(
        "kid_low", "KID, low", "lower end of KID's 95 % interval",
        digits=4, needs=_need("references"), of="kid",
    ),
    Metric(
        "kid_high", "KID, high", "upper end of KID's 95 % interval",
        digits=4, needs=_need("references"), of="kid",
    ),
    Metric(
        "fd_ssl", "fd_ssl",
        "Fréchet distance to held-out references on features that were learned without names",
        "lower", 3, needs=_need("ssl_judge_images"), headline=True,
    ),
    Metric(
        "kid_ssl", "KID ssl", "unbiased kernel distance to references on the same features",
        "lower", 4, needs=_need("ssl_judge_images"), of="fd_ssl",
    ),
    Metric(
        "precision", "precision",
        "share of generations as near to references as these are to each other: fidelity",
        "higher", 3, needs=_need("ssl_judge_images"), scale=1.0, short="preci- sion", headline=True,
    ),
    Metric(
        "density", "density", "how many references' neighbourhoods a generation lies in, over k",
        "higher", 3, needs=_need("ssl_judge_images"), of="precision",
    ),
    Metric(
        "coverage", "coverage",
        "share of references with a generation among their neighbours: variety",
        "higher", 3, needs=_need("ssl_judge_images"), scale=1.0, short="cover- age", headline=True,
    ),
    Metric(
        "recall", "recall",
        "share of references as near to generations as these are to each other: variety",
        "higher", 3, needs=_need("ssl_judge_images"), of="coverage",
    ),
    Metric(
        "xt_fd_ssl", "fd_ssl of X_T",
        "fd_ssl of the images that were learned from; biased upwards where these are few",
        "lower", 3, needs=_need("training_set"), cycle=False,
    ),
    Metric(
        "xt_coverage", "coverage of X_T", "coverage of the images that were learned from",
        "higher", 3, needs=_need("training_set"), scale=1.0, cycle=False,
    ),
    Metric(
        "r_precision", "R-precision",
        "share of generations that the judge gives the concept's caption among the candidates",
        "higher", 3, needs=_need("captions"), scale=1.0, short="R-prec", headline=True,
        interval=("r_precision_low", "r_precision_high"),
    ),
    Metric(
        "r_precision_low", "R-precision, low", "lower end of R-precision's 95 % interval",
        digits=3, needs=_need("captions"), of="r_precision",
    ),
    Metric(
        "r_precision_high", "R-precision, high", "upper end of R-precision's 95 % interval",
        digits=3, needs=_need("captions"), of="r_precision",
    ),
    Metric(
        "r_precision_candidates", "candidates", "captions that R-precision chose among",
        digits=0, needs=_need("captions"), of="r_precision",
    ),
    Metric(
        "r_precision_chance", "R-precision by chance", "R-precision of a judge that guesses",
        digits=3, needs=_need("captions"), of="r_precision",
    ),
    Metric(
        "r_precision_top200_1001", "R-precision top200/1001",
        "share whose own caption is among the 200 nearest of 1,001, the authors' form",
        "higher", 3, needs=_need("authors_captions"), scale=1.0, short="R-prec 200/1001",
    ),
    Metric(
        "selection_precision", "selection precision",
        "share of the picked images that the ground truth calls clean",
        "higher", 3, needs=_need("ground_truth"), scale=1.0, short="sel. prec.", headline=True,
    ),
    Metric(
        "reconstruction", "reconstruction",
        "mean cosine of generations to the concept's images (Gal et al. 2022), judge's features",
        "higher", 3, needs=_need("prompts"), cycle=False,
    ),
    Metric(
        "editability", "editability",
        "cosine of generations to prompts without the embedding (Gal et al. 2022)",
        "higher", 3, needs=_need("prompts"), cycle=False,
    ),
    *(
        Metric(
            f"editability_{name}", f"editability, {name}", "editability of the prompts of one kind",
            "higher", 3, needs=_need("prompts"), of="editability", cycle=False,
        )
        for name in ("background", "style", "composition")
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ROWS}
"""By name, in the order in which tables show them."""


def known(values: Mapping[str, float | None]) -> dict[str, float]:
    """Those that are numbers; what is None or not finite is missing.

    >>> known({"phi": 9.0, "kid": None, "fid": float("nan")})
    {'phi': 9.0}
    """
    return {k: float(v) for k, v in values.items() if _is_known(v)}


def compared(present: Iterable[str]) -> list[Metric]:
    """The metrics with a column of their own among ``present``, in the table's order."""
    names = set(present)
    return [metric for metric in METRICS.values() if metric.name in names and not metric.of]


def headline(present: Iterable[str]) -> list[Metric]:
    """Those of ``present`` that are shown where there is room for a few."""
    return [metric for metric in compared(present) if metric.headline]


def is_better(name: str, first: float, second: float) -> bool:
    """Whether ``first`` is the better value of the metric.

    >>> is_better("fd_judge", 0.3, 0.5)
    True
    """
    better = METRICS[name].better
    return first < second if better == "lower" else first > second
