"""A rehearsal from its first check to its answer."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

from coti.loop.plan import effective, first_batch
from coti.settings import RunSettings
from ops.rehearsal.answer import Answer, size
from ops.rehearsal.checks import check_inputs, check_place
from ops.rehearsal.counts import Sizes
from ops.rehearsal.estimate import estimate
from ops.rehearsal.measured import Measured
from ops.rehearsal.settings_json import settings_json
from ops.rehearsal.stand_ins import StandIns, with_random_weights
from ops.rehearsal.throw_away import RehearsalError, Rehearsing
from ops.stack.locations import ROOT

__all__ = ["on_device", "rehearse"]

_SECONDS = 1.5
"""That more of one kind of work may take, once the least of all is done."""


def rehearse(
    settings: RunSettings,
    process: Rehearsing,
    *,
    random_weights: bool = False,
    divisor: int | None = None,
    price: float | None = None,
    said: Callable[[str], None] = lambda line: None,
) -> Answer:
    """Look at a run, run all of it in little where nothing speaks against that, and say what the
    whole will take. All that it writes is thrown away.

    Args:
        settings: of a run file.
        process: that rehearses, begun already.
        random_weights: models of the true architectures with random weights, where the settings
            name some that are not here; and images of noise where there are none.
        divisor: of a random base model's width; none: true width.
        price: of an hour, to say what the run costs.
        said: is told what happens, a line each.

    Raises:
        ConfigError: nothing is known of a model that random weights are wanted of.
    """
    began = time.monotonic()
    stand_ins = StandIns(settings, {}, [])
    if random_weights:
        said("Random weights of the true architectures are made.")
        stand_ins = _random_weights(settings, process.folder / "random", divisor)
        settings = stand_ins.settings
    looked = time.monotonic()
    checked, place = check_inputs(settings, weights=not random_weights), check_place(settings)
    answer = Answer(
        problems=[*checked.problems, *place.problems],
        notes=[*stand_ins.notes, *checked.notes],
        unchecked=[*checked.unchecked, *place.unchecked],
        price=price,
    )
    said(f"Checked in {time.monotonic() - looked:.0f} s: {len(answer.problems)} problems.")
    if not answer.problems:
        whole = stand_ins.whole(checked.sizes)
        _rehearse(settings, checked.sizes, whole, process, answer, said)
    if random_weights:
        answer.unchecked.append(
            "What the weights are: they were random; paths, hubs and hashes of the true ones, and "
            "whether their numbers stay finite in the run's precision."
        )
    answer.took = time.monotonic() - began
    return answer


def _random_weights(settings: RunSettings, folder: Path, divisor: int | None) -> StandIns:
    """In a process of its own, whose memory goes with it: gigabytes are made."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(with_random_weights, settings, folder, divisor).result()


def _rehearse(
    settings: RunSettings,
    there: Sizes,
    whole: Sizes,
    process: Rehearsing,
    answer: Answer,
    said: Callable[[str], None],
) -> None:
    order = {
        "settings": settings_json(settings),
        "there": asdict(there),
        "whole": asdict(whole),
        "seconds": _SECONDS,
    }
    try:
        measured = Measured.of(process.answer(order, said))
    except RehearsalError as error:
        answer.problems.append(str(error))
        return
    found = estimate(settings, whole, measured)
    answer.estimate, answer.device = found, measured.device
    answer.batch_bytes = measured.batch_bytes
    known = " ".join(answer.notes)
    answer.notes += [each for each in measured.missing if each.partition(" ")[0] not in known]
    _judge_counts(settings, found.sizes, answer)
    _judge_room(settings, answer)
    if not measured.by_step:
        answer.unchecked.append(
            "Memory by step: this system keeps one peak for the whole process, so each step has "
            "that of all before it."
        )
    if settings.model.dtype == "auto" or measured.device["device"] != "cpu":
        answer.unchecked.append(
            f"Other devices: {measured.device['dtype']} on {measured.device['device']} is what "
            "this machine takes."
        )


def _judge_counts(settings: RunSettings, sizes: Sizes, answer: Answer) -> None:
    """Whether enough of the pool will be accepted, as far as a handful tells."""
    rules, needed = settings.pool_rules, first_batch(effective(settings))
    share = 1 - sizes.accepted / max(1, sizes.inputs)
    if sizes.accepted < max(rules.min_accepted, needed):
        answer.problems.append(
            f"pool: some {sizes.accepted} of {sizes.inputs} images will be accepted, and "
            f"{max(rules.min_accepted, needed)} are needed (pool_rules.min_accepted, "
            "selection.batch): give a larger pool; `coti pool check` says why images are refused."
        )
    if share > rules.max_quarantined_share:
        answer.problems.append(
            f"pool_rules.max_quarantined_share is {rules.max_quarantined_share:g}, and some "
            f"{share:.0%} of the pool will be refused: `coti pool check` says why."
        )


def _judge_room(settings: RunSettings, answer: Answer) -> None:
    """Whether this machine has the memory and the disk."""
    found = answer.estimate
    if found is None:
        return
    with suppress(ValueError, OSError, AttributeError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if found.peak > memory:
            answer.problems.append(
                f"memory: {size(found.peak)} are needed and this machine has {size(memory)}: "
                "lower train.batch_size, generation.batch_size or scorer.batch_size, or take a "
                "larger machine."
            )
    on_gpu = int(answer.device.get("gpu_memory") or 0)
    if found.gpu > on_gpu > 0:
        answer.problems.append(
            f"memory: {size(found.gpu)} of the GPU are needed and it has {size(on_gpu)}: lower "
            "train.batch_size or generation.batch_size, or set train.gradient_checkpointing."
        )
    needed = found.store + found.tracking + found.outputs
    place = (ROOT / settings.output).resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        answer.problems.append(
            f"output: {size(needed)} will be written and {place} has {size(free)} free: make "
            "room, or set output to a folder on a larger disk."
        )


def on_device(settings: RunSettings, device: str | None) -> RunSettings:
    """The settings on another device than theirs.

    Raises:
        ConfigError: there is no such kind of device.
    """
    return (
        settings
        if device is None
        else replace(settings, model=replace(settings.model, device=device))
    )
