"""What each step of a run took: seconds, work by kind, memory, bytes written."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from coti.core.work import Work, heard

__all__ = ["Memory", "Sample", "StepTaken", "Watch", "processor_seconds", "step_name"]

_TICK = 0.02
"""Seconds between two looks at the memory."""
_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Memory:
    """Most bytes that a process held, between two looks."""

    at: float
    """When it was looked, seconds of :func:`time.time`."""
    main: int
    gpu: int
    processor: float
    """Seconds of the processors so far, those of ended child processes among them."""


class Sample(NamedTuple):
    """So much of something, done at once."""

    amount: int
    seconds: float
    processor: float = 0.0


@dataclass
class StepTaken:
    """One step of a run."""

    name: str
    """Of the step's function: those of later cycles are called alike."""
    seconds: float
    work: dict[str, list[Sample]] = field(default_factory=dict)
    """By kind, what was done at once."""
    processor: float = 0.0
    """Seconds of the processors."""
    before: int = 0
    """Bytes of main memory when it began."""
    peak: int = 0
    """Most bytes of main memory while it ran, whatever lay there before."""
    gpu: int = 0
    """Most bytes of the GPU's memory."""
    written: int = 0
    """Bytes of its artifacts."""


class Watch:
    """Looks at this process while a run is in it; where Linux forgets a peak that it is told to
    forget, peaks are exact."""

    def __init__(self) -> None:
        self.memory: list[Memory] = []
        self.by_step = _resets()
        """Whether peaks are each step's own; else they are of the process so far."""
        self._work: dict[str, dict[str, list[Sample]]] = {}
        self._ended = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Listen to all work, and look at the memory, inside."""
        thread = threading.Thread(target=self._look, daemon=True, name="rehearsal-memory")
        thread.start()
        try:
            with heard(self._hear):
                yield
        finally:
            self._ended.set()
            thread.join()

    @contextmanager
    def most(self) -> Iterator[Memory]:
        """The most that is held inside; known at its end."""
        began, found = time.time(), Memory(0.0, 0, 0, 0.0)
        yield found
        time.sleep(2 * _TICK)
        for each in self.memory:
            if each.at > began:
                found.main, found.gpu = max(found.main, each.main), max(found.gpu, each.gpu)

    def steps(self, run: Any, store: Path) -> list[StepTaken]:
        """The steps of ZenML's ``run``, in the order in which they began.

        Args:
            run: a finished run, with its steps.
            store: of its artifacts, a folder of this machine.
        """
        found = []
        for key, step in sorted(run.steps.items(), key=lambda each: each[1].start_time):
            began, ended = _seconds(step.start_time), _seconds(step.end_time)
            seen = [each for each in self.memory if began <= each.at <= ended + 2 * _TICK]
            earlier = [each for each in self.memory if each.at < began]
            found.append(
                StepTaken(
                    name=step_name(key),
                    seconds=ended - began,
                    work={k: list(v) for k, v in self._work.get(f"{run.id}/{key}", {}).items()},
                    processor=_between(seen),
                    before=earlier[-1].main if earlier else 0,
                    peak=max((each.main for each in seen), default=0),
                    gpu=max((each.gpu for each in seen), default=0),
                    written=sum(
                        _bytes_below(Path(each.uri))
                        for outputs in step.outputs.values()
                        for each in outputs
                        if Path(each.uri).is_relative_to(store)
                    ),
                )
            )
        return found

    def _hear(self, work: Work) -> None:
        from zenml import get_step_context

        try:
            context = get_step_context()
        except RuntimeError:  # work beside the steps is nobody's
            return
        key = f"{context.pipeline_run.id}/{context.step_run.name}"
        kinds = self._work.setdefault(key, defaultdict(list))
        kinds[work.kind].append(Sample(work.count, work.seconds, work.processor))

    def _look(self) -> None:
        while not self._ended.wait(_TICK):
            self.memory.append(Memory(time.time(), _peak(), _gpu_peak(), processor_seconds()))


def processor_seconds() -> float:
    """Of this process and of those of its children that have ended."""
    return sum(os.times()[:4])


def _seconds(moment: datetime) -> float:
    """Of :func:`time.time`; ZenML's times are UTC, whether they say so or not."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _between(looks: list[Memory]) -> float:
    return looks[-1].processor - looks[0].processor if looks else 0.0


def step_name(key: str) -> str:
    """The step's function behind ZenML's key of an invocation.

    >>> step_name("train_cycle_2"), step_name("map:embed_pool:0"), step_name("embed_pool")
    ('train_cycle', 'embed_pool', 'embed_pool')
    """
    name = key.split(":")[1] if ":" in key else key
    stem, _, number = name.rpartition("_")
    return stem if stem and number.isdigit() else name


def _bytes_below(place: Path) -> int:
    if place.is_file():
        return place.stat().st_size
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def _resets() -> bool:
    try:
        _FORGET.write_text("5")
    except OSError:
        return False
    return True


def _peak() -> int:
    """Most bytes of this process since it was last asked, or ever."""
    if _STATUS.exists():
        with suppress(OSError, ValueError, StopIteration):
            lines = _STATUS.read_text().splitlines()
            line = next(each for each in lines if each.startswith("VmHWM:"))
            with suppress(OSError):
                _FORGET.write_text("5")
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _gpu_peak() -> int:
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    peak = int(torch.cuda.max_memory_reserved())
    torch.cuda.reset_peak_memory_stats()
    return peak
