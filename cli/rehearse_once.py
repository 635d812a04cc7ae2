"""What runs on the throw-away stack, in a process of its own: ZenML binds its state at import.

    python -m cli.rehearse_once ANSWER < ORDER

``ORDER`` is JSON with the settings as a run has them, read when all that does not depend on it is
done; ``ANSWER`` the file that is written.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from click import ClickException

from coti.settings import RunSettings
from ops.quiet import quiet_terminal
from ops.rehearsal.counts import Sizes, least_counts, least_sizes, more_counts, more_sizes

__all__ = ["RunTaken"]

_BEGAN = time.time()


@dataclass
class RunTaken:
    """A run of the rehearsal."""

    settings: RunSettings
    sizes: Sizes
    seconds: float
    steps: list[Any]
    """Of :class:`ops.rehearsal.watch.StepTaken`."""
    written: dict[str, int]
    """Bytes of ``outputs`` and ``tracking``, all runs so far."""
    processor: float
    """Seconds of the processors."""


def main() -> None:
    """Write down what was seen, or a sentence where that came to no end."""
    answer = Path(sys.argv[1])
    quiet_terminal()
    try:
        start = _begin()
        found = {**start, **_rehearse(json.load(sys.stdin))}
    except Exception as error:
        from ops.terminal import user_sentence

        said = error.message if isinstance(error, ClickException) else user_sentence(error)
        if said is None:
            raise
        found = {"error": said}
    answer.write_text(json.dumps(found, default=str), encoding="utf-8")


def _begin() -> dict[str, float]:
    """A stack, and what every run imports; what a run's own start takes of it."""
    from ops.rehearsal.watch import processor_seconds
    from ops.stack.register_stack import register_stack

    made, used = time.time(), processor_seconds()
    register_stack("local")
    from zenml.client import Client

    Client().activate_stack("coti-local")  # this process knew another one before
    made, used = time.time() - made, processor_seconds() - used

    from pipelines.concept import coti_concept  # noqa: F401  (its imports are part of the start)

    quiet_terminal(again=True)
    return {
        "start": time.time() - _BEGAN - made,
        "start_processor": processor_seconds() - used,
    }


def _rehearse(order: dict[str, Any]) -> dict[str, Any]:
    """Run the least, then more of what was cheap."""
    from ops.rehearsal.rates import rates_of
    from ops.rehearsal.settings_json import settings_from
    from ops.rehearsal.watch import Watch
    from ops.stack.locations import ROOT

    settings = settings_from(order["settings"])
    there, whole = Sizes(**order["there"]), Sizes(**order["whole"])
    watch, folder = Watch(), ROOT.parent / "images"
    with watch.watching():
        least, sizes = least_counts(settings), least_sizes(there)
        first = _run(least, sizes, folder / "least", watch)
        rates = rates_of([first])
        known = {kind: rate.seconds for kind, rate in rates.items()}
        more = more_counts(settings, least, known, order["seconds"])
        an_input = _each(first, rates, "ingest_pool") + _each(first, rates, "embed_pool")
        a_reference = _each(first, rates, "embed_references")
        sizes = more_sizes(there, sizes, an_input, a_reference, order["seconds"])
        second = _run(more, sizes, folder / "more", watch)
        a_batch = _batch_bytes(settings, watch)
        judging, judging_processor, widths, missing = _judging(settings, whole)
    return {
        "runs": [asdict(first), asdict(second)],
        "batch_bytes": a_batch,
        "judging": judging,
        "judging_processor": judging_processor,
        "widths": widths,
        "missing": missing,
        "by_step": watch.by_step,
        "device": _device(settings),
    }


def _run(settings: RunSettings, sizes: Sizes, folder: Path, watch: Any) -> RunTaken:
    """The whole pipeline, nothing from the cache."""
    import yaml
    from zenml.client import Client

    from ops.rehearsal.handful import OUTPUT, with_handful
    from ops.rehearsal.watch import processor_seconds
    from ops.stack.locations import ROOT
    from pipelines.concept import coti_concept

    settings = with_handful(settings, sizes, folder)
    path = folder / "run.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    values = json.loads(json.dumps(asdict(settings)))
    path.write_text(
        yaml.safe_dump({"parameters": {"config": values}, "enable_cache": False}), encoding="utf-8"
    )
    began, used = time.time(), processor_seconds()
    coti_concept.with_options(config_path=str(path), enable_cache=False)()
    seconds, used = time.time() - began, processor_seconds() - used
    run = Client().list_pipeline_runs(size=1, sort_by="desc:created").items[0]
    run = Client().get_pipeline_run(run.id)
    store = ROOT / ".coti" / "artifacts"
    tables = run.steps["validate_pool"].outputs
    sizes = Sizes(
        inputs=sizes.inputs,
        accepted=len(tables["accepted"][0].load()),
        references=sizes.references,
        seeds=sizes.seeds,
    )
    written = {
        "outputs": _bytes(ROOT / OUTPUT),
        "tracking": _bytes(ROOT / ".coti") - _bytes(store),
    }
    return RunTaken(settings, sizes, seconds, watch.steps(run, store), written, used)


def _each(run: RunTaken, rates: Mapping[str, Any], name: str) -> float:
    """Seconds of a step's work for each of its images, at these rates."""
    kinds = {kind for step in run.steps if step.name == name for kind in step.work}
    return sum((float(rates[kind].seconds) for kind in kinds), 0.0)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _judging(settings: RunSettings, whole: Sizes) -> tuple[float, float, dict[str, int], list[str]]:
    """What a cycle's metrics take on as many images as the whole run has, by clock and processors;
    the judges' widths; what will be missing.

    A handful of images has no Fréchet distance to time.
    """
    import torch

    from coti.core.threads import on_its_threads
    from coti.metrics.judge import embed_references, images_needed, judge_images, shortfalls
    from ops.rehearsal.noise_features import NoiseFeatures
    from ops.stack.loaded_models import inception_of, judge_of, ssl_judge_of

    own, generated = settings.evaluation, settings.generation.cycle_images
    judge, inception, ssl = judge_of(own), inception_of(own), ssl_judge_of(own)
    needed = images_needed(judge, inception, ssl)
    widths = {
        name: each.size
        for name, each in (("judge", judge), ("inception", inception), ("ssl_judge", ssl))
        if each is not None
    }
    missing = shortfalls(generated, whole.references, needed) if settings.references else []
    stand_in = NoiseFeatures(judge.size)
    others = [each and NoiseFeatures(each.size) for each in (inception, ssl)]

    @on_its_threads
    def timed(settings: RunSettings) -> tuple[float, float]:
        images = torch.zeros(whole.references, 3, 1, 1, dtype=torch.uint8)
        made = embed_references(
            stand_in, settings.concept, images if whole.references else None, own, *others
        )
        images = torch.zeros(generated, 3, 1, 1, dtype=torch.uint8)
        began, used = time.perf_counter(), time.process_time()
        judge_images(stand_in, images, made, settings.concept, own, settings.seed, *others)
        return time.perf_counter() - began, time.process_time() - used

    return *timed(settings), widths, missing


def _batch_bytes(settings: RunSettings, watch: Any) -> float | None:
    """Bytes that an image of a training batch takes: a step of a whole batch beside one of one."""
    import torch

    from coti.inversion.adapters.embedding import Embedding
    from coti.inversion.trainer import train_cycle
    from ops.stack.loaded_models import located_token, text_to_image

    model, batch = text_to_image(settings.model), settings.train.batch_size
    if batch == 1:
        return None
    side = model.resolution
    images = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    start = Embedding.initial(model, located_token(settings.token), 0, settings.concept)
    peaks: list[float] = []
    for size in (1, batch):
        own = replace(
            settings.train,
            batch_size=size,
            gradient_accumulation_steps=1,
            max_steps=1,
            phi_every=2,
            compile=False,
        )
        with watch.most() as most:
            train_cycle(model, images, None, start, own, settings.schedule, None, 0)
        peaks.append(int(most.gpu or most.main))
    return max(0.0, (peaks[1] - peaks[0]) / (batch - 1))


def _device(settings: RunSettings) -> dict[str, Any]:
    """What it ran on."""
    import torch

    from ops.stack.loaded_models import text_to_image

    model = text_to_image(settings.model)
    gpu = model.device.type == "cuda"
    return {
        "device": str(model.device),
        "name": torch.cuda.get_device_name(model.device) if gpu else "",
        "dtype": str(model.dtype).removeprefix("torch."),
        "threads": settings.threads or torch.get_num_threads(),
        "resolution": model.resolution,
        "latents": list(model.latent_shape),
        "gpu_memory": torch.cuda.get_device_properties(model.device).total_memory if gpu else 0,
    }


if __name__ == "__main__":
    main()
