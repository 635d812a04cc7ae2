"""A cycle of textual inversion on the GPU node: the embedding, and what it generates."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
from zenml import step

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.inversion.adapters.embedding import Embedding
from coti.loop.state import LoopState
from coti.loop.train_cycle import train_cycle as train
from coti.pool.pool_images import PoolImages
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import ConceptScorer
from coti.settings import RunSettings
from materializers.embedding_safetensors import EmbeddingMaterializer
from materializers.image_mosaic import ImageSetMaterializer
from materializers.table_parquet import TableMaterializer
from ops.stack.cache_policy import cached_by
from ops.stack.checkpoints import ArtifactStoreLatents, checkpoint_store
from ops.stack.loaded_models import captioner_of, encoders_of, text_to_image
from ops.stack.loop_inputs import captions_of, on_device, training_set_of

__all__ = ["train_cycle"]


@step(
    cache_policy=cached_by(__name__),
    output_materializers={
        "embedding": EmbeddingMaterializer,
        "generated": ImageSetMaterializer,
        "samples": ImageSetMaterializer,
        "curve": TableMaterializer,
    },
)
@on_its_threads
def train_cycle(
    cycle: int,
    training_set: pd.DataFrame,
    accepted: pd.DataFrame,
    pool_images: PoolImages,
    seed_images: ImageSet,
    aesthetic_head: TensorBundle,
    concept_scorer: TensorBundle,
    embedding: Embedding,
    settings: RunSettings,
    device: str,
    model_fingerprint: str,
) -> tuple[
    Annotated[Embedding, "embedding"],
    Annotated[ImageSet, "generated"],
    Annotated[ImageSet, "samples"],
    Annotated[pd.DataFrame, "curve"],
    Annotated[dict[str, Any], "training"],
]:
    """The embedding, X_TI, the sample grid, the curve of loss, rate and φ, and a summary."""
    settings = on_device(settings, device)
    with checkpoint_store("train_cycle") as store:
        trained = train(
            state=LoopState(
                training_set_of(training_set),
                cycle,
                head=AestheticHead.from_tensors(aesthetic_head.tensors),
                concept=ConceptScorer.from_tensors(concept_scorer.tensors),
            ),
            model=text_to_image(settings.model),
            encoders=encoders_of(settings),
            seeds=seed_images,
            pool=pool_images,
            captions=captions_of(accepted),
            start=embedding,
            settings=settings,
            captioner=captioner_of(settings),
            checkpoint=store,
            latent_store=ArtifactStoreLatents(),
        )
    return (
        trained.embedding,
        ImageSet.numbered("generated", trained.generated),
        ImageSet.numbered("sample", trained.samples),
        pd.DataFrame(trained.curve),
        trained.summary,
    )
