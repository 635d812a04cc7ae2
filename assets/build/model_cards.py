"""The bundled models' acceptance as checks, model cards, and the hashes that freeze them."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assets.build import clip_models, ratings, ssl_judge
from assets.build.clip_models import reference_accuracy, reference_sample
from assets.build.world import BENCHMARK_CONCEPTS

Found = Mapping[str, Mapping[str, Mapping[str, float]]]
"""concept -> measurement -> metric."""

FROZEN = "frozen.json"
FROZEN_SUFFIXES = (".safetensors", ".json", ".txt")


@dataclass(frozen=True)
class Check:
    """One thing that must hold."""

    what: str
    measured: float
    bound: float
    most: bool = False
    """The bound is the most, not the least, that is allowed."""

    @property
    def holds(self) -> bool:
        """Whether it does."""
        return self.measured <= self.bound if self.most else self.measured >= self.bound

    def row(self) -> str:
        """A line of a Markdown table."""
        sign = "≤" if self.most else "≥"
        verdict = "holds" if self.holds else "**does not hold**"
        return f"| {self.what} | {self.measured:.4g} | {sign} {self.bound:g} | {verdict} |"


def base_checks(found: Found) -> list[Check]:
    """What the base model must hold (floor, ceiling, headroom, autoencoder)."""

    def column(measurement: str, metric: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([found[concept][measurement][metric] for concept in BENCHMARK_CONCEPTS])

    clean, random = column("clean", "fd_judge"), column("random", "fd_judge")
    precision = column("clean", "r_precision")
    against_real = precision / column("references", "r_precision")
    apart = random / clean
    return [
        Check(
            "floor: largest R-precision by bare name",
            column("name", "r_precision").max(),
            0.25,
            True,
        ),
        Check("ceiling: R-precision over the references', mean", against_real.mean(), 0.95),
        Check("ceiling: R-precision over the references', least", against_real.min(), 0.88),
        Check(
            "ceiling: mean fd_judge over the untrained start's",
            clean.mean() / column("start", "fd_judge").mean(),
            0.06,
            True,
        ),
        Check(
            "headroom: fd_judge of 200 random over 200 clean, geometric mean",
            float(np.exp(np.log(apart).mean())),
            3.0,
        ),
        Check("headroom: the same, least", apart.min(), 1.8),
        Check(
            "headroom: R-precision of clean minus random, least",
            float((precision - column("random", "r_precision")).min()),
            0.0,
        ),
        Check(
            "autoencoder: mean fd_judge of reconstructions over the ceiling's",
            column("reconstructed", "fd_judge").mean() / clean.mean(),
            0.1,
            True,
        ),
    ]


def other_checks(models: Path, blind: Mapping[str, float]) -> list[Check]:
    """What scorer, judges and aesthetic head must hold; ``blind`` is the class-blind judge's."""
    everything = reference_sample()
    quality: dict[str, Any] = ratings.measure(models / "scorer", models / "aesthetic")
    size = sum(path.stat().st_size for path in models.rglob("*.safetensors")) / 1e6
    return [
        Check(
            "scorer: accuracy on the references",
            reference_accuracy(models / "scorer", *everything),
            0.88,
        ),
        Check(
            "judge: accuracy on the references",
            reference_accuracy(models / "judge", *everything),
            0.90,
        ),
        Check("class-blind judge: share of variance within classes", blind["share_within"], 0.6),
        Check("class-blind judge: kNN accuracy (k = 20)", blind["knn_accuracy"], 0.75),
        Check("aesthetic head: rank correlation with severity", quality["spearman"], 0.8),
        Check(
            "aesthetic head: AUC clean over degraded, unseen concept, least",
            min(quality["auc_unseen_concept"].values()),
            0.9,
        ),
        Check("all weights, MB", size, 60.0, True),
    ]


def _parameters(models: Path) -> Iterator[str]:
    from safetensors import safe_open

    for path in sorted(models.rglob("*.safetensors")):
        with safe_open(path, framework="pt") as stored:
            count = sum(
                int(np.prod(stored.get_slice(name).get_shape()))
                for name in stored.keys()  # noqa: SIM118
            )
        yield (
            f"| `{path.relative_to(models)}` | {count / 1e6:.2f} M | "
            f"{path.stat().st_size / 1e6:.1f} MB |"
        )


def _table(found: Found) -> str:
    names = ("name", "start", "random", "clean", "reconstructed", "real", "references")
    lines = ["| concept | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for concept in BENCHMARK_CONCEPTS:
        row = [
            f"{found[concept][name]['fd_judge']:.3f} / {found[concept][name]['r_precision']:.3f}"
            for name in names
        ]
        lines.append(f"| {concept} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def _ladder(path: Path) -> str:
    """What more training gave, where it was measured."""
    if not path.is_file():
        return ""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [tuple(row.values()) for row in csv.DictReader(stream)]
    head = ("step", "concept", "guidance", "fd_judge", "KID", "R-precision")
    lines = [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
    return (
        "\n\nThe ladder: what a checkpoint is worth with 200 clean images, 256 generated, by "
        "`base_model ladder`.\n\n" + "\n".join(lines)
    )


def _encoders(found: Mapping[str, Mapping[str, float]]) -> str:
    """What other features keep of the variety within classes."""
    head = "| features | kNN accuracy | share of variance within classes |\n|---|---|---|\n"
    return head + "\n".join(
        f"| {name} | {each['knn_accuracy']:.3f} | {each['share_within']:.2f} |"
        for name, each in found.items()
    )


CARD = """---
license: mit
library_name: {library}
tags: [fashion-mnist, textual-inversion, demonstration]
---
# {title}

{about}

{body}

Trained on Fashion-MNIST only (`assets/README.md` says which images), by `{builder}`. A
demonstration model: it generates and knows 32×32 thumbnails of ten kinds of clothing, nothing else.
Written by `python -m assets.build.acceptance`.
"""


def write_cards(found: Found, how: Mapping[str, Any], models: Path, freeze: bool) -> list[str]:
    """Write a README.md beside each model and ``acceptance.json``; returns what to print."""
    encoders = ssl_judge.measure(models)
    base, others = base_checks(found), other_checks(models, encoders["class-blind judge"])
    head = "| what | measured | bound | |\n|---|---|---|---|\n"

    def rows(*starts: str) -> str:
        return head + "\n".join(c.row() for c in others if c.what.startswith(starts))

    sizes = "| file | parameters | size |\n|---|---|---|\n" + "\n".join(
        _parameters(models / "base")
    )
    body = (
        head
        + "\n".join(check.row() for check in base)
        + "\n\nfd_judge / R-precision (top 1 of 10) of each concept: prompted by its name; the "
        "embedding before training;\nlearned "
        "from 200 random images of its pool; from 200 clean ones; "
        "the references through the\nautoencoder; real images of split `pool`; the references "
        "themselves.\n\n"
        + _table(found)
        + f"\n\nMeasured with {json.dumps(dict(how))}.\n\n"
        + sizes
        + _ladder(models / "ladder.csv")
    )
    cards = {
        "base": (
            "diffusers",
            "Base text-to-image model",
            "A small Stable-Diffusion-shaped model "
            "(v-prediction, 32×32 RGB, 8×8×4 latents) whose captions\nnever name the eight "
            "benchmark concepts.",
            body,
            "python -m assets.build.base_model",
        ),
        "scorer": (
            "open_clip",
            "Scorer",
            "A small open_clip model: S_con, and the features under S_aes.",
            rows("scorer"),
            "python -m assets.build.clip_models scorer",
        ),
        "judge": (
            "open_clip",
            "Judge",
            "A small open_clip model of another architecture, trained "
            "on other images: metrics only.",
            rows("judge"),
            "python -m assets.build.clip_models judge",
        ),
        "ssl_judge": (
            "timm",
            "Class-blind judge",
            "SimCLR on split `judge`, without any label: its features keep what differs within a "
            "class,\nso fidelity and variety are told apart on them. 128 features; metrics only.",
            rows("class-blind judge") + "\n\nOn split `reference`, neighbours in split `judge` "
            "(`python -m assets.build.ssl_judge --measure`):\n\n" + _encoders(encoders),
            "python -m assets.build.ssl_judge",
        ),
        "aesthetic": (
            "pytorch",
            "Aesthetic head",
            "The head that S_aes starts from, and the rated features that it is fine-tuned with.",
            rows("aesthetic"),
            "python -m assets.build.ratings",
        ),
    }
    for name, (library, title, about, text, builder) in cards.items():
        card = CARD.format(library=library, title=title, about=about, body=text, builder=builder)
        (models / name / "README.md").write_text(card, encoding="utf-8")
    checks = [asdict(check) | {"holds": bool(check.holds)} for check in (*base, *others)]
    record = {"checks": checks, "how": dict(how), "measurements": found}
    (models / "acceptance.json").write_text(
        json.dumps(record, indent=1, ensure_ascii=False, default=float) + "\n", encoding="utf-8"
    )
    if freeze:
        (models / FROZEN).write_text(json.dumps(hashes(models), indent=1) + "\n", encoding="utf-8")
    return [check.row() for check in (*base, *others)]


def hashes(models: Path = clip_models.MODELS) -> dict[str, str]:
    """sha256 of every weight, configuration and vocabulary file, by its path below ``models``."""
    return {
        path.relative_to(models).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(models.glob("*/**/*"))
        if path.suffix in FROZEN_SUFFIXES
    }
