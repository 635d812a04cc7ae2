"""The judge's verdict on a cycle's images; it never steers selection, training or stopping."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch

from coti.core.errors import MetricError, PoolError
from coti.core.seeding import derived_seed
from coti.core.tensors import TensorBundle
from coti.encoders.protocol import ImageEncoder, ImageTextEncoder, normalized
from coti.metrics import frechet_distance, kid, r_precision
from coti.settings import EvaluationSettings

__all__ = ["candidate_captions", "embed_references", "judge_images", "read_ground_truth"]


def candidate_captions(concept: str, settings: EvaluationSettings) -> list[str]:
    """R-precision's candidates, the concept's own caption among them, without repetition."""
    spread = _imagenet(settings.imagenet_captions) if settings.imagenet_captions else []
    names = list(dict.fromkeys([*settings.captions, *spread, concept]))
    return [settings.caption_template.replace("{}", name) for name in names]


def authors_captions(concept: str, settings: EvaluationSettings) -> list[str]:
    """The concept's caption, then those of ImageNet's 1,000 classes: the authors' 1,001."""
    return [settings.caption_template.replace("{}", name) for name in (concept, *_imagenet(1000))]


def _imagenet(count: int) -> list[str]:
    """``count`` names of ImageNet's classes, evenly spread over their order, which is by kind.

    Raises:
        MetricError: more than there are.
    """
    from open_clip import IMAGENET_CLASSNAMES

    total = len(IMAGENET_CLASSNAMES)
    if not 0 < count <= total:
        raise MetricError(f"imagenet_captions is {count}: there are {total} classes.")
    return [IMAGENET_CLASSNAMES[i * total // count] for i in range(count)]


def embed_references(
    judge: ImageTextEncoder,
    concept: str,
    images: torch.Tensor | None,
    settings: EvaluationSettings,
    inception: ImageEncoder | None = None,
    generated: int | None = None,
) -> TensorBundle:
    """The judge's features of the held-out references and of the candidate captions.

    Args:
        judge: an image-text model of another family than the scorer.
        concept: the concept's name.
        images: uint8 [n, 3, h, w]; none where the user has no references.
        settings: the captions.
        inception: what FID is measured on, where it is wanted.
        generated: images that will be compared with them, where it is known already.

    Returns:
        ``captions`` float32 [c, d], normalised, and ``references`` float32 [n, d], where there are
        any; the captions' texts as strings ``captions``. Where wanted, ``authors_captions``
        [1001, d], the own one first, and ``inception`` [n, 2048].
    """
    captions = candidate_captions(concept, settings)
    tensors = {"captions": normalized(judge.encode_texts(captions))}
    if settings.authors_r_precision:
        texts = authors_captions(concept, settings)
        tensors["authors_captions"] = normalized(judge.encode_texts(texts))
    if images is not None:
        # Said here, before anything is trained.
        for encoder, whose in ((judge, "the judge's"), (inception, "Inception's")):
            if encoder is not None and (generated is not None or encoder is inception):
                count = encoder.size if generated is None else generated
                _enough(count, len(images), encoder.size, whose)
        tensors["references"] = judge.encode_images(images)
        if inception is not None:
            tensors["inception"] = inception.encode_images(images)
    return TensorBundle(tensors).with_strings("captions", captions)


def judge_images(
    judge: ImageTextEncoder,
    images: torch.Tensor,
    references: TensorBundle,
    concept: str,
    settings: EvaluationSettings,
    seed: int,
    inception: ImageEncoder | None = None,
) -> dict[str, Any]:
    """Fréchet distance, KID with its interval, and R-precision of generated images.

    Args:
        judge: the model that ``references`` was embedded with.
        images: uint8 [n, 3, h, w], X_TI.
        references: of :func:`embed_references`.
        concept: the concept's name.
        settings: the name of the distance, and the subsets of KID.
        seed: of KID's subsets.
        inception: what ``references`` were embedded with for FID, where it is wanted.

    Returns:
        ``fd_<name>``, ``kid``, ``kid_low``, ``kid_high``, ``r_precision`` (top 1),
        ``r_precision_candidates``, ``generated`` and ``references`` (counts); what has no
        references is None. Where wanted, ``r_precision_top200_1001`` and ``fid``.

    Raises:
        MetricError: fewer generated or reference images than the judge's features are wide.
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
    if "authors_captions" in references.tensors:
        result["r_precision_top200_1001"] = r_precision(
            normalized(features), references["authors_captions"], own=0, top=200
        )
    if inception is not None:
        result["fid"] = None
    if "references" not in references.tensors:
        return result
    real = references["references"]
    _enough(len(features), len(real), judge.size, "the judge's")
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
    if inception is not None and "inception" in references.tensors:
        _enough(len(features), len(real), inception.size, "Inception's")
        result["fid"] = frechet_distance(inception.encode_images(images), references["inception"])
    return result


def _enough(generated: int, references: int, size: int, whose: str) -> None:
    """Refuse a Fréchet distance on fewer images than features."""
    for name, count in (("generated", generated), ("reference", references)):
        if count < size:
            raise MetricError(
                f"{count} {name} images are fewer than {whose} {size} features, so no "
                f"Fréchet distance is defined on them; give at least {size} (generated: "
                "generation.cycle_images)."
            )


def read_ground_truth(path: Path, concept: str) -> dict[str, bool]:
    """A benchmark pool's ground truth, for selection precision alone.

    An image is right where it shows the concept undegraded; a near duplicate of such a one is,
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
        raise PoolError(f"ground truth {path}: cannot be read: {error}") from error
    needed = {"file_name", "class", "degradation"}
    if not rows or not needed <= set(rows[0]):
        raise PoolError(f"ground truth {path}: must have the columns {', '.join(sorted(needed))}.")
    return {row["file_name"]: row["class"] == concept and not row["degradation"] for row in rows}
