"""The judge's verdict on a cycle's images; it never steers selection, training or stopping."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from coti.core.seeding import derived_seed
from coti.core.tensors import TensorBundle
from coti.encoders.protocol import ImageEncoder, ImageTextEncoder, normalized
from coti.metrics.class_blind import judge_generations
from coti.metrics.frechet import frechet_distance
from coti.metrics.kid import kid
from coti.metrics.manifold import NEIGHBOURS
from coti.metrics.r_precision import r_precision, share_interval
from coti.metrics.table import METRICS, Need
from coti.settings import EvaluationSettings

__all__ = [
    "candidate_captions",
    "embed_references",
    "enough_images",
    "images_needed",
    "judge_images",
    "shortfalls",
]


def candidate_captions(concept: str, settings: EvaluationSettings) -> list[str]:
    """R-precision's candidates, the concept's own caption among them, without repetition."""
    spread = _imagenet(settings.imagenet_captions) if settings.imagenet_captions else []
    names = list(dict.fromkeys([*settings.captions, *spread, concept]))
    return [settings.caption_template.replace("{}", name) for name in names]


def authors_captions(concept: str, settings: EvaluationSettings) -> list[str]:
    """The concept's caption, then those of ImageNet's 1,000 classes: the authors' 1,001."""
    return [settings.caption_template.replace("{}", name) for name in (concept, *_imagenet(1000))]


def _imagenet(count: int) -> list[str]:
    """``count`` names, 1 to 1,000, of ImageNet's classes, evenly spread over their order, which is
    by kind."""
    from open_clip import IMAGENET_CLASSNAMES

    total = len(IMAGENET_CLASSNAMES)
    return [IMAGENET_CLASSNAMES[i * total // count] for i in range(count)]


def embed_references(
    judge: ImageTextEncoder,  # of another family than the scorer
    concept: str,
    images: torch.Tensor | None,  # uint8 [n, 3, h, w]; none where the user has no references
    settings: EvaluationSettings,
    inception: ImageEncoder | None = None,  # what FID is measured on, where it is wanted
    ssl_judge: ImageEncoder | None = None,  # class-blind, where it is wanted
) -> TensorBundle:
    """The judges' features of the held-out references and of the candidate captions.

    Returns:
        ``captions`` float32 [c, d], normalised, and ``references`` float32 [n, d], where there are
        any; the captions' texts as strings ``captions``. Where wanted, ``authors_captions``
        [1001, d], the own one first, ``inception`` [n, 2048], and ``ssl_references`` [n, d].
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
        if ssl_judge is not None:
            tensors["ssl_references"] = ssl_judge.encode_images(images)
    return TensorBundle(tensors).with_strings("captions", captions)


def judge_images(
    judge: ImageTextEncoder,  # that references was embedded with
    images: torch.Tensor,  # X_TI, uint8 [n, 3, h, w]
    references: TensorBundle,  # of embed_references
    concept: str,
    settings: EvaluationSettings,
    seed: int,  # of KID's subsets
    inception: ImageEncoder | None = None,  # as references', where FID is wanted
    ssl_judge: ImageEncoder | None = None,  # likewise
) -> dict[str, float]:
    """What the judges say of generated images: by name of :data:`coti.metrics.table.METRICS`.

    A metric without what it needs is missing: distances without references, or enough of them
    (:func:`shortfalls`), R-precision with no caption but the concept's own.
    """
    features = judge.encode_images(images)
    there = _there(references, len(images), images_needed(judge, inception, ssl_judge))
    found: dict[str, float] = {}

    def wanted(name: str) -> bool:
        return METRICS[name].measurable(there)

    if wanted("r_precision"):
        captions = references.strings("captions")
        own = captions.index(settings.caption_template.replace("{}", concept))
        found["r_precision"] = r_precision(features, references["captions"], own)
        low, high = share_interval(found["r_precision"], len(images))
        found |= {"r_precision_low": low, "r_precision_high": high}
        found["r_precision_candidates"] = len(captions)
        found["r_precision_chance"] = 1 / len(captions)
    if wanted("r_precision_top200_1001"):
        found["r_precision_top200_1001"] = r_precision(
            features, references["authors_captions"], own=0, top=200
        )
    # Of few images, subsets of half of them: all of them again and again would have no interval.
    least = min(len(images), len(references.tensors.get("references", ())))
    size = min(settings.kid_subset_size, least // 2)
    if wanted("kid"):
        real = references["references"]
        distance = kid(features, real, settings.kid_subsets, size, derived_seed(seed, "kid"))
        found |= {"kid": distance.mean, "kid_low": distance.low, "kid_high": distance.high}
    if wanted("fd_judge"):
        found["fd_judge"] = frechet_distance(features, references["references"])
    if inception is not None and wanted("fid"):
        found["fid"] = frechet_distance(inception.encode_images(images), references["inception"])
    if ssl_judge is not None and wanted("fd_ssl"):
        found |= judge_generations(
            ssl_judge.encode_images(images),
            references["ssl_references"],
            settings.kid_subsets,
            size,
            derived_seed(seed, "kid"),
        )
    return found


def images_needed(
    judge: ImageEncoder | None = None,
    inception: ImageEncoder | None = None,
    ssl_judge: ImageEncoder | None = None,
    reference_judge: ImageEncoder | None = None,
) -> dict[Need, int]:
    """How many images each one's Fréchet distance needs on both sides: as many as features.

    With fewer a covariance is singular, and the distance says how many there were.
    """
    encoders: dict[Need, ImageEncoder | None] = {
        "judge_images": judge,
        "inception_images": inception,
        "ssl_judge_images": ssl_judge,
        "reference_judge_images": reference_judge,
    }
    needed = {name: each.size for name, each in encoders.items() if each is not None}
    if ssl_judge is not None:  # and more than have a place among the nearest
        needed["ssl_judge_images"] = max(ssl_judge.size, NEIGHBOURS + 1)
    return needed


def enough_images(generated: int, references: int, needed: Mapping[Need, int]) -> frozenset[Need]:
    """Those of ``needed``, of :func:`images_needed`, that there are images enough for."""
    least = min(generated, references)
    return frozenset(name for name, size in needed.items() if least >= size)


def _there(references: TensorBundle, generated: int, needed: Mapping[Need, int]) -> set[Need]:
    """What a cycle's metrics have of what they may need."""
    real = len(references.tensors.get("references", ()))
    there: set[Need] = {*enough_images(generated, real, needed)}
    if len(references.strings("captions")) > 1:
        there.add("captions")
    if "authors_captions" in references.tensors:
        there.add("authors_captions")
    if min(generated, real) >= 4:  # KID's subsets of half have two
        there.add("references")
    if "inception" not in references.tensors:
        there.discard("inception_images")
    if "ssl_references" not in references.tensors:
        there.discard("ssl_judge_images")
    return there


def shortfalls(generated: int, references: int, needed: Mapping[Need, int]) -> list[str]:
    """What will be missing for want of images, a sentence a need; for before anything is trained.

    ``needed`` are of :func:`images_needed`.
    """
    enough = enough_images(generated, references, needed)
    return [
        f"{', '.join(each.label for each in METRICS.values() if need in each.needs)} will be "
        f"missing: {size} images on both sides are needed, there are {references} references and "
        f"{generated} generations (generation.cycle_images)."
        for need, size in needed.items()
        if need not in enough
    ]
