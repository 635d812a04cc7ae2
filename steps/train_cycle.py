"""Train the embedding on X_T for one cycle and draw with it. Runs on the GPU node."""

from __future__ import annotations

import time
from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.seeding import derived_seed
from coti.core.tensors import TensorBundle
from coti.generation.fixed_noise import draw
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.trainer import PhiValue
from coti.inversion.trainer import train_cycle as train_one_cycle
from coti.pool.pool_images import PoolImages
from coti.scores.aesthetic import AestheticHead
from coti.scores.scoring import ImageScorer, fit_concept
from coti.settings import (
    ConceptScoreSettings,
    GenerationSettings,
    ModelSettings,
    ScheduleSettings,
    ScorerSettings,
    TokenSettings,
    TrainSettings,
)
from materializers.embedding_file import EmbeddingMaterializer
from materializers.image_mosaic import ImageSetMaterializer
from materializers.table import TableMaterializer
from ops.stack.cache_policy import CACHE_POLICY
from ops.stack.checkpoints import ArtifactStoreLatents, checkpoint_store
from ops.stack.loaded_models import concept_encoder, scorer_of, text_to_image
from ops.stack.training_data import training_images

__all__ = ["train_cycle"]


@step(
    cache_policy=CACHE_POLICY,
    output_materializers={
        "embedding": EmbeddingMaterializer,
        "generated": ImageSetMaterializer,
        "samples": ImageSetMaterializer,
        "curve": TableMaterializer,
    },
)
def train_cycle(
    cycle: int,
    training_set: pd.DataFrame,
    accepted: pd.DataFrame,
    pool_images: PoolImages,
    seed_images: ImageSet,
    features: TensorBundle,
    aesthetic_head: TensorBundle,
    embedding: Embedding,
    model: ModelSettings,
    model_fingerprint: str,
    scorer: ScorerSettings,
    concept_score: ConceptScoreSettings,
    token: TokenSettings,
    train: TrainSettings,
    schedule: ScheduleSettings,
    generation: GenerationSettings,
    seed: int,
) -> tuple[
    Annotated[Embedding, "embedding"],
    Annotated[ImageSet, "generated"],
    Annotated[ImageSet, "samples"],
    Annotated[pd.DataFrame, "curve"],
    Annotated[dict[str, Any], "training"],
]:
    """The embedding, X_TI, the sample grid, the curve of loss, rate and φ, and a summary."""
    started = time.monotonic()
    network = text_to_image(model)
    encoder = scorer_of(scorer)
    image_scorer = ImageScorer(
        encoder,
        concept_encoder(concept_score, encoder, model),
        AestheticHead.from_tensors(aesthetic_head.tensors),
        fit_concept(features, list(training_set["id"]), concept_score, seed),
    )

    def evaluate_phi(word: Embedding, step: int) -> PhiValue:
        drawn = draw(network, word, generation, generation.phi_images, seed, "phi")
        return image_scorer.indicator(drawn.images)

    images, captions = training_images(training_set, accepted, pool_images, seed_images)
    train_seed = derived_seed(seed, "train", cycle)
    with checkpoint_store("train_cycle") as store:
        result = train_one_cycle(
            network,
            images,
            captions,
            embedding,
            train,
            schedule,
            evaluate_phi,
            train_seed,
            store,
            token=token,
            latent_store=ArtifactStoreLatents(),
        )
        generated = draw(
            network, result.embedding, generation, generation.cycle_images, seed, "cycle"
        )
        samples = draw(
            network, result.embedding, generation, generation.sample_images, seed, "sample"
        )
    curve = pd.DataFrame(result.curve)
    summary = {
        "steps": result.steps,
        "image_steps": result.image_steps,
        "lr_stage": int(curve["stage"].iloc[-1]),
        "stop_reason": result.stop_reason,
        "train_size": len(images),
        "compile_seconds": result.compile_seconds,
        "seconds": time.monotonic() - started,
    }
    return result.embedding, generated, samples, curve, summary
