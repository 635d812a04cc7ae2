"""The judge's verdict on a cycle's pictures; it never steers selection, training or stopping."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch

from coti.errors import MetricError, PoolError
from coti.features import ImageTextEncoder, normalized
from coti.metrics import frechet_distance, kid, r_precision
from coti.seeding import derived_seed
from coti.settings import EvaluationSettings
from coti.tensors import TensorBundle

__all__ = ["candidate_captions", "embed_references", "judge_images", "read_truth"]


def candidate_captions(concept: str, settings: EvaluationSettings) -> list[str]:
    """R-precision's candidates, the concept's own caption among them, without repetition."""
    names = list(dict.fromkeys([*settings.captions, concept]))
    return [settings.caption_template.replace("{}", name) for name in names]


def embed_references(
    judge: ImageTextEncoder,
    concept: str,
    images: torch.Tensor | None,
    settings: EvaluationSettings,
) -> TensorBundle:
    """The judge's features of the held-out references and of the candidate captions.

    Args:
        judge: an image-text model of another family than the scorer.
        concept: the concept's name.
        images: uint8 [n, 3, h, w]; none where the user has no references.
        settings: the captions.

    Returns:
        ``captions`` float32 [c, d], normalised, and ``references`` float32 [n, d], where there are
        any; the captions' texts as strings ``captions``.
    """
    captions = candidate_captions(concept, settings)
    tensors = {"captions": normalized(judge.encode_texts(captions))}
    if images is not None:
        tensors["references"] = judge.encode_images(images)
    return TensorBundle(tensors).with_strings("captions", captions)


def judge_images(
    judge: ImageTextEncoder,
    images: torch.Tensor,
    references: TensorBundle,
    concept: str,
    settings: EvaluationSettings,
    seed: int,
) -> dict[str, Any]:
    """Fréchet distance, KID with its interval, and R-precision of generated pictures.

    Args:
        judge: the model that ``references`` was embedded with.
        images: uint8 [n, 3, h, w], X_TI.
        references: of :func:`embed_references`.
        concept: the concept's name.
        settings: the name of the distance, and the subsets of KID.
        seed: of KID's subsets.

    Returns:
        ``fd_<name>``, ``kid``, ``kid_low``, ``kid_high``, ``r_precision`` (top 1),
        ``r_precision_candidates``, ``generated`` and ``references`` (counts); what has no
        references is None.

    Raises:
        MetricError: fewer generated or reference pictures than the judge's features are wide.
    """
    features = judge.encode_images(images)
    captions = references.strings("captions")
    own = captions.index(settings.caption_template.replace("{}", concept))
    result: dict[str, Any] = {
        "r_precision": r_precision(normalized(features), references["captions"], own),
        "r_precision_candidates": len(captions),
        "generated": len(images),
        "references": 0,
        f"fd_{settings.fd_name}": None,
        "kid": None,
        "kid_low": None,
        "kid_high": None,
    }
    if "references" not in references.tensors:
        return result
    real = references["references"]
    for name, count in (("generated", len(features)), ("reference", len(real))):
        if count < judge.size:
            raise MetricError(
                f"{count} {name} pictures are fewer than the judge's {judge.size} features, so no "
                f"Fréchet distance is defined on them; give at least {judge.size} (generated: "
                "generation.cycle_images)."
            )
    distance = kid(
        features,
        real,
        settings.kid_subsets,
        min(settings.kid_subset_size, len(features), len(real)),
        derived_seed(seed, "kid"),
    )
    result.update(
        {
            f"fd_{settings.fd_name}": frechet_distance(features, real),
            "kid": distance.mean,
            "kid_low": distance.low,
            "kid_high": distance.high,
            "references": len(real),
        }
    )
    return result


def read_truth(path: Path, concept: str) -> dict[str, bool]:
    """A benchmark pool's answer key, for selection precision alone.

    A picture is right where it shows the concept undegraded; a near duplicate of such a one is,
    too.

    Args:
        path: a CSV with the columns ``file_name``, ``class`` and ``degradation``.
        concept: the class that is right.

    Returns:
        File name to whether it is right.

    Raises:
        PoolError: no such file, or other columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise PoolError(f"answer key {path}: cannot be read: {error}") from error
    needed = {"file_name", "class", "degradation"}
    if not rows or not needed <= set(rows[0]):
        raise PoolError(f"answer key {path}: must have the columns {', '.join(sorted(needed))}.")
    return {row["file_name"]: row["class"] == concept and not row["degradation"] for row in rows}
