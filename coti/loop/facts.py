"""What is known of a run without a ground truth, a judge or references.

Each fact is a number of :data:`coti.loop.verdict.FACTS`; one that cannot be known is missing.
"""

from __future__ import annotations

import torch

from coti.core.tensors import TensorBundle
from coti.encoders.protocol import ImageEncoder, normalized
from coti.inversion.base_model import TextToImageModel
from coti.inversion.latents import decode_latents, encode_latents
from coti.loop.training_set import TrainingSet
from coti.metrics.likeness import nearest, share_above, share_of_copies, spread, told_apart_by
from coti.scores.features_to_scores import rows_of
from coti.scores.self_training import evidence, self_trained

_FEW = 10
"""Images on a side from which a share of pairs is more than a few images' accident."""
_FAR = 5.0
"""Deviations below the accepted images at which a seed is unlike them."""

__all__ = ["autoencoder_fact", "generation_facts", "pool_facts"]


def pool_facts(
    features: TensorBundle,  # of coti.scores.features_to_scores.embed_images
    s_aes: torch.Tensor,  # [n], of the pool, 0 to 10
    seeds_s_aes: torch.Tensor,  # [s], of the seeds
    aesthetic_gate: float,
    wanted: int,  # images that the run would take
) -> dict[str, float]:
    """What the pool, the seeds and the concept's words say of each other; no training needed."""
    pool, seeds = features["pool"], features["seeds"]
    facts = {"seeds": float(len(seeds))}
    if "concept_text" not in features.tensors or not len(pool):
        return facts
    text = features["concept_text"][0]
    accepted = (self_trained(pool, seeds, text, s_aes) >= 0) & (s_aes >= aesthetic_gate)
    facts["accepted"] = float(accepted.sum())
    if wanted:
        facts["accepted_share"] = facts["accepted"] / wanted
    if not accepted.any():
        return facts
    near = nearest(pool, seeds)
    if not accepted.all() and len(seeds) >= 2:
        rejected = float(near[~accepted].mean())
        own = float(nearest(seeds, seeds, others=True).mean())
        likeness = (float(near[accepted].mean()) - rejected) / max(own - rejected, 0.05)
        facts["accepted_like_seeds"] = min(likeness, 2.0)
    if accepted.sum() >= 2:
        # The seeds among the pool, by what its accepted images teach.
        order = evidence(
            torch.cat([pool, seeds]), pool[accepted], text, torch.cat([s_aes, seeds_s_aes])
        )
        taught, own_order = order[: len(pool)][accepted], order[len(pool) :]
        far = taught.mean() - _FAR * taught.std().clamp(min=1e-6)
        facts["seeds_unlike"] = float((own_order < far).double().mean())
    return facts


def generation_facts(
    generated: torch.Tensor,  # X_TI on the scorer, L2-normalised [m, d]
    statistics: torch.Tensor,  # of its images, [m, 4]: image_statistics
    features: TensorBundle,  # of coti.scores.features_to_scores.embed_images
    training_set: TrainingSet,  # X_T
) -> dict[str, float]:
    """What an embedding generates, beside what it was trained on and the rest of the pool."""
    shown = rows_of(features, training_set.ids)
    looks = rows_of(features, training_set.ids, "_statistics")
    members = set(training_set.ids)
    others = [name for name in features.strings("pool_ids") if name not in members]
    near = nearest(generated, shown)
    facts = {}
    if min(len(statistics), len(looks)) >= _FEW:
        facts["looks_apart"] = told_apart_by(statistics, looks)
    if others:
        rest = nearest(rows_of(features, others), shown)
        facts["generated_like_training"] = share_above(near, rest)
    if len(shown) >= 2 and len(generated) >= 2:
        facts["variety"] = spread(generated) / max(spread(shown), 1e-6)
        facts["memorised"] = share_of_copies(generated, shown)
    return facts


def autoencoder_fact(
    model: TextToImageModel,
    scorer: ImageEncoder,
    features: TensorBundle,  # of coti.scores.features_to_scores.embed_images
    seeds: torch.Tensor,  # uint8 [s, 3, h, w], in the order of the features
) -> dict[str, float]:
    """Whether the base model's autoencoder gives the seeds back, as no training can do better."""
    latents = model.to_latents(encode_latents(model, seeds).mean)
    given_back = normalized(scorer.encode_images(decode_latents(model, latents)))
    own = (given_back * features["seeds"]).sum(dim=1)
    return {"seeds_given_back": share_above(own, nearest(features["pool"], features["seeds"]))}
