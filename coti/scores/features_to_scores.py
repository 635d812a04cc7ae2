"""From features to scores for one cycle: what the formulas of the other modules are applied to.

Features of a run travel as one :class:`~coti.core.tensors.TensorBundle`: ``pool`` and ``seeds``
(float32, L2-normalised, of the scorer), ``pool_concept`` and ``seeds_concept`` where ℰ of Eq. 8 is
another encoder, ``distractors`` where look-alikes are named, ``concept_text`` and ``other_texts``,
the scorer's, of the concept's words and of what else there may be; ``negatives_0`` and so on, the
scorer's, a folder of ``aesthetic.negatives`` each; the ids as ``pool_ids``, ``seed_ids``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.encoders.feature_shards import embed_seeds, embed_shard, gather_shards
from coti.encoders.protocol import ImageEncoder, ImageTextEncoder, normalized
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import ConceptScorer, update_least_cosine
from coti.scores.formulas import PhiValue, gamma, indicator, intelligent_score, smooth_clamp

__all__ = [
    "Encoded",
    "ImageScorer",
    "concept_suffix",
    "embed_images",
    "rescore",
    "rows_of",
    "score_candidates",
]


_BLOCK = 8192
"""Rows of the pool scored at once: features may be mapped from a file."""


def embed_images(
    encoder: ImageTextEncoder,
    concept_encoder: ImageEncoder | None,
    pool: ImageSet,
    seeds: ImageSet,
    distractors: Sequence[str],
    text: str = "",
) -> TensorBundle:
    """Features of the accepted pool and the seeds, once a run; see ``feature_shards``."""
    return gather_shards(
        [embed_shard(encoder, concept_encoder, pool)],
        embed_seeds(encoder, concept_encoder, seeds, distractors, text),
    )


def rows_of(features: TensorBundle, ids: Sequence[str], kind: str = "") -> torch.Tensor:
    """Features of images by id, of pool and seeds alike: float32 ``[len(ids), d]``.

    ``kind`` is ``""`` for the scorer's features, ``"_concept"`` for those of another ℰ.
    """
    seeds, pool = features[f"seeds{kind}"], features[f"pool{kind}"]
    wanted = set(ids)
    place: dict[str, torch.Tensor] = {}
    # the pool wins where a seed is in it too; only the rows wanted are read
    for names, table in (
        (features.strings("seed_ids"), seeds),
        (features.strings("pool_ids"), pool),
    ):
        place.update({name: table[i] for i, name in enumerate(names) if name in wanted})
    return torch.stack([place[name] for name in ids]) if ids else seeds[:0]


def concept_suffix(features: TensorBundle) -> str:
    """What the names of ℰ's features end with: nothing where ℰ of Eq. 8 is the scorer."""
    return "_concept" if "pool_concept" in features.tensors else ""


@torch.no_grad()
def rescore(
    features: torch.Tensor,  # the pool's, [n, d], L2-normalised
    new_features: torch.Tensor,  # [b, d], L2-normalised, of the images that joined X_T
    least: torch.Tensor,  # [n], least cosines so far, infinite where there are none
    head: AestheticHead,  # an affine one costs one more column of the same product
) -> tuple[torch.Tensor, torch.Tensor]:
    """Least cosines (Eq. 8) and S_aes (Eq. 7) of a pool after X_T grew, in one pass.

    Returns:
        Least cosines [n] to the whole X_T, and S_aes [n] in [0, 10].
    """
    affine = len(head) == 1
    columns, bias = new_features, torch.zeros(1)
    if affine:
        tensors = head.to_tensors()
        columns = torch.cat([new_features, tensors["0.weight"]])
        bias = tensors["0.bias"]
    now, s_aes = torch.empty_like(least), torch.empty_like(least)
    count = len(new_features)
    for first in range(0, len(features), _BLOCK):
        rows = slice(first, first + _BLOCK)
        block = features[rows]
        products = columns @ block.T  # this way round: few long rows, the faster shape
        now[rows] = least[rows]
        if count:
            now[rows] = torch.minimum(least[rows], products[:count].amin(dim=0))
        s_aes[rows] = smooth_clamp(products[count] + bias) if affine else head.score(block)
    return now, s_aes


@torch.no_grad()
def score_candidates(
    features: TensorBundle,  # of embed_images
    head: AestheticHead,  # θ of this cycle
    concept: ConceptScorer,  # for the whole X_T
    gamma_aes: float,  # of the last generations
    gamma_con: float,
    weight_floor: float,  # least weight of either score
    *,
    least: torch.Tensor | None = None,  # [n], least_cosine of the cycle before; none: compare all
    joined: Sequence[str] = (),  # ids of all images that joined X_T since, or more
) -> dict[str, torch.Tensor]:
    """S_aes, S_con and S_int (Eq. 7, 8, 11) of the whole pool as columns [n], in the pool's order.

    Where S_con is a function of Eq. 8's minimum, so is the column ``least_cosine``: given back in
    the next cycle, only the images that joined X_T since are compared with the pool.
    """
    kind = concept_suffix(features)
    pool, none = features["pool"], features["pool"][:0]
    extra: dict[str, torch.Tensor] = {}
    if concept.from_least:
        if least is None:
            least, new = torch.full((len(pool),), torch.inf), concept.reference
        else:
            new = rows_of(features, list(joined), kind)
        if kind:  # two encoders, two passes
            least = update_least_cosine(least, new, features[f"pool{kind}"])
            s_aes = rescore(pool, none, least, head)[1]
        else:
            least, s_aes = rescore(pool, new, least, head)
        s_con = concept.score_least(least)
        extra["least_cosine"] = least
    else:
        s_aes = rescore(pool, none, torch.zeros(len(pool)), head)[1]
        s_con = concept.score(features[f"pool{kind}"])
    s_int = intelligent_score(s_aes, s_con, gamma_aes, gamma_con, weight_floor)
    return {"s_aes": s_aes, "s_con": s_con, "s_int": s_int, **extra}


@dataclass(frozen=True)
class Encoded:
    """Images as the scorers see them: L2-normalised float32 ``[n, d]`` each."""

    features: torch.Tensor
    """Of the scorer."""
    concept: torch.Tensor
    """Of ℰ of Eq. 8; the scorer's where that is ℰ."""


@dataclass(frozen=True)
class ImageScorer:
    """Scores any images, generated ones above all, as a cycle's pool images were scored."""

    encoder: ImageEncoder
    """The scorer."""
    concept_encoder: ImageEncoder | None
    """ℰ of Eq. 8 where it isn't the scorer."""
    head: AestheticHead
    concept: ConceptScorer

    def encode(self, images: torch.Tensor) -> Encoded:
        """Features of uint8 ``[n, 3, h, w]``, for several scorers with the same encoders."""
        features = normalized(self.encoder.encode_images(images))
        if self.concept_encoder is None:
            return Encoded(features, features)
        return Encoded(features, normalized(self.concept_encoder.encode_images(images)))

    def scores(self, images: torch.Tensor | Encoded) -> tuple[torch.Tensor, torch.Tensor]:
        """S_aes and S_con (Eq. 7, 8) of uint8 ``[n, 3, h, w]``: float32 ``[n]`` each, 0 to 10."""
        encoded = images if isinstance(images, Encoded) else self.encode(images)
        return self.head.score(encoded.features), self.concept.score(encoded.concept)

    def indicator(self, images: torch.Tensor | Encoded) -> PhiValue:
        """φ with its γ_aes and γ_con (Eq. 9, 10, 12) of generated images."""
        s_aes, s_con = self.scores(images)
        gamma_aes, gamma_con = gamma(s_aes), gamma(s_con)
        return PhiValue(indicator(gamma_aes, gamma_con), gamma_aes, gamma_con)
