"""Before any training: what pool, seeds, words and base model say of each other, in seconds."""

from __future__ import annotations

from coti.core.image_set import ImageSet
from coti.core.tensors import TensorBundle
from coti.core.threads import on_its_threads
from coti.inversion.base_model import TextToImageModel
from coti.loop.data import ConceptData, Models
from coti.loop.facts import autoencoder_fact, pool_facts
from coti.loop.fit_scorers import finetune_aesthetic_scorer
from coti.loop.inputs import Encoders
from coti.loop.plan import effective, first_batch
from coti.loop.state import LoopState
from coti.loop.training_set import TrainingSet
from coti.loop.verdict import Verdict, verdict_of
from coti.scores.aesthetic import AestheticHead
from coti.settings import RunSettings

__all__ = ["check", "preflight"]


def preflight(
    features: TensorBundle,  # of coti.scores.features_to_scores.embed_images
    head: AestheticHead,  # θ_0
    seeds: ImageSet,
    model: TextToImageModel,
    encoders: Encoders,
    settings: RunSettings,  # of coti.loop.plan.effective
) -> dict[str, float]:
    """The facts of :data:`coti.loop.verdict.FACTS` that are known before anything is trained."""
    facts = pool_facts(
        features,
        head.score(features["pool"]),
        head.score(features["seeds"]),
        settings.selection.aesthetic_gate,
        settings.baseline_images if first_batch(settings) else 0,
    )
    return facts | autoencoder_fact(model, encoders.scorer, features, seeds.images)


@on_its_threads
def check(models: Models, data: ConceptData, settings: RunSettings) -> Verdict:
    """What :func:`preflight` says of a run that has not begun: nothing is trained or written.

    Raises:
        CotiError: settings, images and models that don't go together.
    """
    settings = effective(settings)
    state = LoopState(TrainingSet(tuple(data.seeds.names)))
    head = finetune_aesthetic_scorer(
        state, data.features, data.sources, data.seeds, models.encoders, settings
    )
    facts = preflight(data.features, head, data.seeds, models.base, models.encoders, settings)
    return verdict_of(facts)
