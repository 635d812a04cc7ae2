"""``coti.learn`` and ``coti.check``: the whole loop, and what is known before it, on a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from coti.api.given import ImagesOrFolder, PoolLike, pool_of, preset_of, seeds_of, settings_of
from coti.core.checkout import find_file
from coti.core.tensors import TensorBundle
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.pipeline_model import model_of_pipeline
from coti.loop import learn as algorithm
from coti.loop import preflight
from coti.loop.controller import Decision
from coti.loop.data import ConceptData, Models
from coti.loop.learn import LearnResult
from coti.loop.load_models import load_models
from coti.loop.record import CycleRecord
from coti.loop.verdict import Verdict
from coti.metrics.judge import embed_references
from coti.pool.concept_data import accepted_pool, with_seeds
from coti.settings import RunSettings

__all__ = ["check", "learn"]


@dataclass(frozen=True)
class _Run:
    models: Models
    data: ConceptData
    settings: RunSettings


def learn(
    pipe: Any,
    seeds: ImagesOrFolder,
    pool: PoolLike,
    *,
    concept: str,
    token: str | None = None,
    initializer: str | None = None,
    references: ImagesOrFolder | None = None,
    preset: str | None = None,
    settings: RunSettings | None = None,
    on_cycle: Callable[[CycleRecord, Decision, Embedding], None] | None = None,
    **keys: Any,
) -> LearnResult:
    """Learn a concept for a diffusers pipeline: score, select, train, generate, decide.

    Algorithm 1 of Yang et al. 2023, in this process and without ZenML. Scorers, judges and schedule
    are those that belong to the pipeline's kind of model. Nothing is written. The pipeline's
    networks are frozen and keep their device and dtype; it gets the token only by
    ``result.embedding.load_into(pipe)``.

    Args:
        pipe: ``StableDiffusionPipeline`` (1.x, 2.x), ``StableDiffusionXLPipeline``, or another of a
            registered family, with its networks on one device.
        seeds: some ten good images of the concept.
        pool: many images, some of which may show it: a list, or whatever ``pool`` is in a run file.
        concept: its name; the scorer is asked for it by words.
        token: the new word, ``<concept>`` unless given.
        initializer: where it starts: a word that is one token of the pipeline's, near the concept.
        references: images of the concept that nothing is trained on; with them cycles are judged.
        preset: other scorers, judges and schedule than those of the pipeline's kind.
        settings: a whole configuration in place of preset and keys.
        on_cycle: called at the end of each cycle with its record, the decision and its embedding.
        keys: any key of a run file, ``seed=1``, ``train={"max_steps": 200}``; what stands under
            ``model`` is the pipeline's business, but for ``deterministic``.

    Raises:
        CotiError: settings, images and models that don't go together; says what to do.

    On the bundled model, seeds in a folder and twenty images in memory; the keys make it a matter
    of seconds, and the embedding a poor one:

    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from diffusers import StableDiffusionPipeline
    >>> pipe = StableDiffusionPipeline.from_pretrained("assets/models/base", safety_checker=None)
    >>> boots = Path("assets/pools/ankle_boot")
    >>> pool = [Image.open(path) for path in sorted(boots.glob("pool/*.png"))[:20]]
    >>> result = learn(
    ...     pipe, boots / "seeds", pool, concept="ankle boot", token="<boot>", initializer="foot",
    ...     controller={"max_cycles": 0}, train={"max_steps": 2},
    ...     generation={"cycle_images": 4, "sample_images": 2},
    ... )
    >>> result.embedding.token, result.embedding.num_vectors, len(result.records)
    ('<boot>', 4, 1)
    >>> result.embedding.load_into(pipe)
    >>> pipe("a photo of a <boot>", num_inference_steps=2).images[0].size
    (32, 32)
    """
    run = _run_of(
        "coti.learn", pipe, seeds, pool, references, preset, settings, keys,
        concept=concept, token=token, initializer=initializer,
    )  # fmt: skip
    result = algorithm.learn(run.models, run.data, run.settings, on_cycle=on_cycle)
    return replace(result, embedding=_of_a_pipe(result.embedding))


def check(
    pipe: Any,
    seeds: ImagesOrFolder,
    pool: PoolLike,
    *,
    concept: str,
    preset: str | None = None,
    settings: RunSettings | None = None,
    **keys: Any,
) -> Verdict:
    """What speaks against a run before it begins, in seconds: nothing is trained or written.

    How many images of the pool would be accepted, whether they are like the seeds, the seeds like
    each other, and whether the pipeline's autoencoder gives the seeds back.

    Args:
        pipe: as :func:`learn`, and so are ``seeds``, ``pool``, ``preset``, ``settings``, ``keys``.
        seeds: likewise.
        pool: likewise.
        concept: its name.
        preset: likewise.
        settings: likewise.
        keys: likewise.

    Raises:
        CotiError: settings, images and models that don't go together; says what to do.

    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from diffusers import StableDiffusionPipeline
    >>> pipe = StableDiffusionPipeline.from_pretrained("assets/models/base", safety_checker=None)
    >>> boots = Path("assets/pools/ankle_boot")
    >>> pool = [Image.open(path) for path in sorted(boots.glob("pool/*.png"))[:20]]
    >>> verdict = check(
    ...     pipe, boots / "seeds", pool, concept="ankle boot", selection={"batch": 1}
    ... )
    >>> verdict.outcome, verdict.facts["accepted"]
    ('worked', 8.0)
    """
    run = _run_of("coti.check", pipe, seeds, pool, None, preset, settings, keys, concept=concept)
    return preflight.check(run.models, run.data, run.settings)


def _run_of(
    caller: str,
    pipe: Any,
    seeds: ImagesOrFolder,
    pool: PoolLike,
    references: ImagesOrFolder | None,
    preset: str | None,
    settings: RunSettings | None,
    keys: dict[str, Any],
    **named: Any,
) -> _Run:
    """Everything that a run works with, its settings checked before a model is looked at."""
    base = model_of_pipeline(pipe)
    chosen = preset or ("bundled" if settings is not None else preset_of(base))
    run = settings_of(caller, chosen, settings, keys, **named)
    base = replace(base, deterministic=run.model.deterministic)
    beside, source = seeds_of(seeds, base.resolution, run.images.rule), pool_of(pool)
    models = load_models(run, base, find_file, judged=references is not None)
    accepted = accepted_pool(source, models.encoders, run.pool_rules, base.resolution)
    data = with_seeds(accepted, beside, models.encoders, run)
    if references is not None:
        data = replace(data, references=_references(models, base, references, run))
    return _Run(models, data, run)


def _references(
    models: Models, base: TextToImageModel, given: ImagesOrFolder, run: RunSettings
) -> TensorBundle:
    assert models.judge is not None
    images = seeds_of(given, base.resolution, run.images.rule, "references").images.images
    return embed_references(
        models.judge, run.concept, images, run.evaluation, models.inception, models.ssl_judge
    )


def _of_a_pipe(embedding: Embedding) -> Embedding:
    """Without the hash of the weights in memory, which no folder of the same model has."""
    known = {k: v for k, v in embedding.metadata.items() if k != "base_model_fingerprint"}
    return replace(embedding, metadata=known)
