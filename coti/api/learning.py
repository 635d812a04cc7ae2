"""``coti.learn`` and ``coti.check``: the whole loop, and what is known before it, on a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from coti.api.given import (
    NEVER_JUDGED,
    NEVER_READ,
    ImagesOrFolder,
    PoolLike,
    Token,
    pool_of,
    preset_of,
    references_of,
    seeds_of,
    settings_of,
)
from coti.core.checkout import find_file
from coti.core.threads import processor_threads
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.pipeline_model import model_of_pipeline
from coti.loop import learn as algorithm
from coti.loop import preflight
from coti.loop.controller import Decision
from coti.loop.data import ConceptData, Models
from coti.loop.learn import LearnResult
from coti.loop.load_models import load_models, loader
from coti.loop.record import CycleRecord
from coti.loop.verdict import Verdict
from coti.pool.concept_data import accepted_pool, joined
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
    token: Token | None = None,
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
        token: the new word, ``<concept>`` unless given; or what stands under ``token`` in a run
            file, ``{"placeholder_token": "<boot>", "num_vectors": 8}``.
        initializer: where it starts: a word that is one token of the pipeline's, near the concept.
        references: images of the concept that nothing is trained on; with them cycles are judged.
        preset: other scorers, judges and schedule than those of the pipeline's kind.
        settings: a whole configuration in place of preset and keys; of its model, places and
            promotion nothing is read but ``model.deterministic``.
        on_cycle: called at the end of each cycle with its record, the decision and its embedding.
        keys: of a run file, ``seed=1``, ``train={"max_steps": 200}``. Those that nothing here would
            read are refused: ``output``, ``ground_truth``, ``measurement``, ``promotion``, and of
            ``model`` all but ``deterministic``, since the pipeline is the model.

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
        concept=concept, token=token, initializer=initializer, refused=NEVER_READ,
    )  # fmt: skip
    return algorithm.learn(run.models, run.data, run.settings, on_cycle=on_cycle)


def check(
    pipe: Any,
    seeds: ImagesOrFolder,
    pool: PoolLike,
    *,
    concept: str,
    token: Token | None = None,
    initializer: str | None = None,
    preset: str | None = None,
    settings: RunSettings | None = None,
    **keys: Any,
) -> Verdict:
    """What speaks against a run before it begins, in seconds: nothing is trained or written.

    How many images of the pool would be accepted, whether they are like the seeds, the seeds like
    each other, and whether the pipeline's autoencoder gives the seeds back.

    Args:
        pipe: as :func:`learn`, and so are all the others; nothing is judged, so that ``references``
            is refused.
        seeds: likewise.
        pool: likewise.
        concept: its name.
        token: likewise; where it or ``initializer`` is given, the pipeline's vocabulary is asked.
        initializer: likewise.
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
    run = _run_of(
        "coti.check", pipe, seeds, pool, None, preset, settings, keys,
        concept=concept, token=token, initializer=initializer, refused=NEVER_JUDGED,
    )  # fmt: skip
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
    *,
    token: Token | None,
    initializer: str | None,
    **named: Any,
) -> _Run:
    """Everything that a run works with, its settings checked before a model is looked at."""
    base = model_of_pipeline(pipe)
    if settings is None and preset is None:
        preset = preset_of(base)
    run = settings_of(caller, preset, settings, keys, token=token, initializer=initializer, **named)
    # Only experiments measure by it, and its weights need not be here.
    run = replace(run, measurement=replace(run.measurement, reference_judge=False))
    base = replace(base, deterministic=run.model.deterministic)
    if token or initializer:
        Embedding.initial(base, run.token)  # refuses a word before images take their time
    side, fit = base.resolution, run.images.rule
    beside, source = seeds_of(seeds, side, fit), pool_of(pool)
    judged = None if references is None else references_of(references, side, run)
    with processor_threads(run.threads):
        models = load_models(run, base, loader(find_file, base), judged=judged is not None)
        accepted = accepted_pool(source, models.encoders, run.pool_rules, side, fit)
        return _Run(models, joined(run, models, beside, accepted, judged), run)
