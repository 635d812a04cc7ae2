"""How good the kept embedding of a run is: all metrics, on more generations than a cycle's."""

from __future__ import annotations

import torch

from coti.core.errors import ConfigError
from coti.core.seeding import derived_seed
from coti.generation.fixed_noise import generate_fixed, prompts_of
from coti.generation.sampler import generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.loop.data import ConceptData, Models
from coti.loop.training_set import TrainingSet
from coti.metrics.class_blind import judge_training_set
from coti.metrics.embedding_quality import measure_embedding
from coti.metrics.frechet import frechet_distance
from coti.metrics.judge import enough_images, images_needed, judge_images
from coti.metrics.manifold import NEIGHBOURS
from coti.metrics.selection_precision import selection_precision
from coti.metrics.table import METRICS
from coti.settings import RunSettings

__all__ = ["generated_for", "measure", "measure_training_set"]


def generated_for(
    model: TextToImageModel,
    embedding: Embedding | None,  # without, the concept's name is generated
    settings: RunSettings,
    count: int,
    purpose: str,  # names the noise
) -> torch.Tensor:
    """Images on fixed noise, the same noise for every strategy: uint8 [count, 3, h, w]."""
    how = settings.generation
    if embedding is not None:
        return generate_fixed(model, embedding, how, count, settings.seed, purpose).images
    prompts = prompts_of(settings.concept, how, count)
    return generate(model, prompts, [], how, derived_seed(settings.seed, purpose))


def measure(
    models: Models,  # with a judge
    data: ConceptData,  # with references
    settings: RunSettings,  # measurement says how many images
    embedding: Embedding | None,  # none measures what the concept's name generates
    training_set: TrainingSet | None,  # the X_T that it was trained on
) -> dict[str, float]:
    """Metrics of :data:`coti.metrics.table.METRICS` by name; what cannot be measured is missing.

    Raises:
        ConfigError: there is no judge.
    """
    if models.judge is None or data.references is None:
        raise ConfigError("measuring needs a judge and the features of references or captions.")
    how = settings.measurement
    images = generated_for(models.base, embedding, settings, how.images, "judge")
    found = judge_images(
        models.judge, images, data.references, settings.concept, settings.evaluation,
        settings.seed, models.inception, models.ssl_judge,
    )  # fmt: skip
    real = data.reference_judge if how.reference_judge else None
    if real is not None and models.reference_judge is not None:
        network = models.reference_judge()
        needed = images_needed(reference_judge=network)
        if METRICS["fd_efficientnet"].measurable(enough_images(len(images), len(real), needed)):
            found["fd_efficientnet"] = frechet_distance(network.encode_images(images), real)
    if training_set is None or embedding is None:
        return found
    found |= measure_training_set(models, data, training_set)
    if how.edit_images:
        quality = measure_embedding(
            models.base,
            models.judge,
            embedding,
            _trained_on(data, training_set),
            settings=settings.generation,
            seed=derived_seed(settings.seed, "editability"),
            images_per_prompt=how.edit_images,
        )
        found["reconstruction"] = quality.reconstruction
        found["editability"] = quality.editability
        found |= {f"editability_{name}": v for name, v in quality.by_difficulty.items()}
    return found


def measure_training_set(
    models: Models, data: ConceptData, training_set: TrainingSet
) -> dict[str, float]:
    """Metrics of X_T itself, which need no embedding; what cannot be measured is missing."""
    found: dict[str, float] = {}
    if data.ground_truth is not None and training_set.selected:
        selected = [data.sources[name] for name in training_set.selected]
        found["selection_precision"] = selection_precision(selected, data.ground_truth)
    real = None if data.references is None else data.references.tensors.get("ssl_references")
    if models.ssl_judge is None or real is None:
        return found
    if len(real) > NEIGHBOURS and len(training_set) >= 2:
        features = models.ssl_judge.encode_images(_trained_on(data, training_set))
        found |= judge_training_set(features, real)
    return found


def _trained_on(data: ConceptData, training_set: TrainingSet) -> torch.Tensor:
    """X_T's images: uint8 [n, 3, h, w]."""
    parts = [data.seeds.tensor(training_set.seeds)]
    if training_set.selected:
        parts.append(data.pool.tensor(training_set.selected))
    return torch.cat(parts)
