"""The judge's verdict on a cycle's images; it never steers selection, training or stopping."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from coti.core.errors import MetricError
from coti.core.seeding import derived_seed
from coti.core.tensors import TensorBundle
from coti.encoders.protocol import ImageEncoder, ImageTextEncoder, normalized
from coti.metrics.frechet import frechet_distance
from coti.metrics.kid import kid
from coti.metrics.r_precision import r_precision
from coti.settings import EvaluationSettings

__all__ = ["candidate_captions", "embed_references", "judge_images", "shortfalls"]


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
    judge: ImageTextEncoder,  # of another family than the scorer
    concept: str,
    images: torch.Tensor | None,  # uint8 [n, 3, h, w]; none where the user has no references
    settings: EvaluationSettings,
    inception: ImageEncoder | None = None,  # what FID is measured on, where it is wanted
) -> TensorBundle:
    """The judge's features of the held-out references and of the candidate captions.

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
        tensors["references"] = judge.encode_images(images)
        if inception is not None:
            tensors["inception"] = inception.encode_images(images)
    return TensorBundle(tensors).with_strings("captions", captions)


def judge_images(
    judge: ImageTextEncoder,  # that references was embedded with
    images: torch.Tensor,  # X_TI, uint8 [n, 3, h, w]
    references: TensorBundle,  # of embed_references
    concept: str,
    settings: EvaluationSettings,
    seed: int,  # of KID's subsets
    inception: ImageEncoder | None = None,  # as references', where FID is wanted
) -> dict[str, float]:
    """What the judge says of generated images: by name of :data:`coti.metrics.table.METRICS`.

    A metric without what it needs is missing: distances without references, or enough of them
    (:func:`shortfalls`), R-precision with no caption but the concept's own.
    """
    features = judge.encode_images(images)
    found = _text_agreement(normalized(features), references, concept, settings)
    if "references" not in references.tensors:
        return found
    real = references["references"]
    count = min(len(features), len(real))
    if count < 2:
        return found
    subset_size = min(settings.kid_subset_size, count)
    distance = kid(features, real, settings.kid_subsets, subset_size, derived_seed(seed, "kid"))
    found |= {"kid": distance.mean, "kid_low": distance.low, "kid_high": distance.high}
    if count >= judge.size:
        found["fd_judge"] = frechet_distance(features, real)
    if inception is not None and "inception" in references.tensors and count >= inception.size:
        found["fid"] = frechet_distance(inception.encode_images(images), references["inception"])
    return found


def _text_agreement(
    features: torch.Tensor, references: TensorBundle, concept: str, settings: EvaluationSettings
) -> dict[str, float]:
    """R-precision of L2-normalised features [n, d], where there is a caption to be mistaken for."""
    found: dict[str, float] = {}
    captions = references.strings("captions")
    if len(captions) > 1:
        own = captions.index(settings.caption_template.replace("{}", concept))
        found["r_precision"] = r_precision(features, references["captions"], own)
        found["r_precision_candidates"] = len(captions)
    if "authors_captions" in references.tensors:
        found["r_precision_top200_1001"] = r_precision(
            features, references["authors_captions"], own=0, top=200
        )
    return found


def shortfalls(generated: int, references: int, sizes: Mapping[str, int]) -> list[str]:
    """What will be missing for want of images, a sentence each; for before anything is trained.

    ``sizes``: width of the features by the metric's name.
    """
    return [
        f"{name} will be missing: it needs {size} images on both sides, there are {references} "
        f"references and {generated} generations (generation.cycle_images)."
        for name, size in sizes.items()
        if min(generated, references) < size
    ]
