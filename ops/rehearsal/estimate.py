"""What a whole run will take, from what a rehearsal of it took.

A step takes what its work takes, at the rates that were seen, and something besides: fixed, and so
much an image or a row. What is besides is told apart by the two runs of a rehearsal: the first step
of its kind warms up, which the whole run does once as well; of later ones, which differ in how
many images there were, the difference is the images'.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coti.settings import RunSettings
from ops.rehearsal.counts import Sizes
from ops.rehearsal.measured import Measured, Run, Step
from ops.rehearsal.peak_memory import peaks
from ops.rehearsal.rates import Rate, rates_of
from ops.rehearsal.units import Units, generated_images, units

__all__ = ["Estimate", "Range", "StepEstimate", "as_json", "estimate"]

BETWEEN, START = "between the steps", "start"
"""Rows that are no step: what ZenML does around them, and what happens before the first."""
_PART = 0.2
"""Of a step that was seen at one size, what part is taken to be in proportion to its images."""
_BESIDE = 0.15
"""Half the range, as a part, of what is no work at a known rate."""


@dataclass(frozen=True)
class Range:
    """A number and where it may lie."""

    low: float
    expected: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def times(self, factor: float) -> Range:
        """All three."""
        return Range(self.low * factor, self.expected * factor, self.high * factor)


@dataclass(frozen=True)
class StepEstimate:
    """All steps of one name in the whole run."""

    step: str
    times: int
    seconds: Range
    peak: int
    """Most bytes of main memory; 0 where nothing says it."""
    gpu: int
    written: int
    """Bytes of artifacts, all cycles."""


@dataclass(frozen=True)
class Estimate:
    """What the whole run takes."""

    steps: list[StepEstimate]
    seconds: Range
    sizes: Sizes
    """Of the whole run; how many are accepted follows from the rehearsal's share."""
    images: int
    """Generated, all steps and cycles done."""
    processor: float
    """Seconds of the processors, expected: as many whatever else the machine does."""
    peak: int
    gpu: int
    store: int
    """Bytes of artifacts: on a cluster the bucket's."""
    tracking: int
    """Bytes of MLflow and of ZenML's database."""
    outputs: int
    """Bytes of the folder that a person reads."""


def estimate(settings: RunSettings, whole: Sizes, measured: Measured) -> Estimate:
    """Of a run by its settings, by the clock and by the processors' time.

    Args:
        settings: as in the run file.
        whole: the images that there are for it; ``accepted`` is not read.
        measured: of the rehearsal.
    """
    found = _estimate(settings, whole, measured)
    processor = _estimate(settings, whole, measured.of_processors()).seconds.expected
    return replace(found, processor=processor)


def _estimate(settings: RunSettings, whole: Sizes, measured: Measured) -> Estimate:
    first, second = measured.runs
    share = second.sizes.accepted / max(1, second.sizes.inputs)
    sizes = replace(whole, accepted=round(share * whole.inputs))
    rates = rates_of(measured.runs)
    full, early = units(settings, sizes), units(settings, sizes, early=True)
    known = {name: _Known.of(name, first, second, rates) for name in _names(full)}
    judging = {"judge_cycle": measured.judging}
    memory = peaks(settings, sizes, measured)
    rows = []
    for name in _names(full):
        whole_steps = [each for each in full if each.step == name]
        fewer = [each for each in early if each.step == name]
        most = known[name].seconds(whole_steps, judging.get(name, 0.0))
        least = known[name].seconds(fewer, judging.get(name, 0.0))
        rows.append(
            StepEstimate(
                name,
                len(whole_steps),
                Range(min(least.low, most.low), most.expected, most.high),
                memory[name][0],
                memory[name][1],
                known[name].bytes(whole_steps),
            )
        )
    around = _between(first, second, len(full))
    start = Range(0.7 * measured.start, measured.start, 1.5 * measured.start)
    rows.append(StepEstimate(BETWEEN, len(full), around, 0, 0, 0))
    rows.insert(0, StepEstimate(START, 1, start, 0, 0, 0))
    total = Range(0.0, 0.0, 0.0)
    for row in rows:
        total += row.seconds
    cycles = sum(each.step == "train_cycle" for each in full)
    return Estimate(
        steps=rows,
        seconds=total,
        sizes=sizes,
        images=generated_images(settings, sizes),
        processor=0.0,
        peak=max(row.peak for row in rows),
        gpu=max(row.gpu for row in rows),
        store=sum(row.written for row in rows),
        tracking=_by_cycle("tracking", first, second, cycles),
        outputs=_outputs(settings, first, second, cycles),
    )


@dataclass(frozen=True)
class _Known:
    """What is known of a step: both runs' instances of it, with what else than work they took."""

    first: list[tuple[Units, Step]]
    second: list[tuple[Units, Step]]
    rates: Mapping[str, Rate]

    @classmethod
    def of(cls, name: str, first: Run, second: Run, rates: Mapping[str, Rate]) -> _Known:
        return cls(first.steps_of(name), second.steps_of(name), rates)

    def seconds(self, whole: Sequence[Units], more: float) -> Range:
        """Of all these steps; ``more`` seconds each are known otherwise."""
        if not whole:
            return Range(0.0, 0.0, 0.0)
        working = [self._working(each) for each in whole]
        beside = self._beside(whole)
        both = Range(
            sum(low for low, _, _ in working),
            sum(mid for _, mid, _ in working),
            sum(high for _, _, high in working),
        )
        return both + beside + Range(0.8, 1.0, 1.3).times(more * len(whole))

    def bytes(self, whole: Sequence[Units]) -> int:
        """Of all these steps' artifacts."""
        pairs = [(each.amount, step.written) for each, step in (*self.first, *self.second)]
        if not pairs:
            return 0
        fixed, slope = _line(pairs)
        return round(sum(fixed + slope * each.amount for each in whole))

    def _working(self, each: Units) -> tuple[float, float, float]:
        """Seconds of one step's work, with their range."""
        low = mid = high = 0.0
        for kind, count in self._amounts(each).items():
            rate = self.rates[kind]
            taken = rate.seconds * count
            mid += taken
            low += taken * max(0.0, 1 - rate.spread)
            high += taken * (1 + rate.spread)
        return low, mid, high

    def _amounts(self, each: Units) -> dict[str, float]:
        """How much of each kind one step does, from what its rehearsals did."""
        seen: dict[str, list[tuple[Units, int]]] = defaultdict(list)
        for rehearsed, step in (*self.first, *self.second):
            for kind, samples in step.work.items():
                seen[kind].append((rehearsed, sum(each.amount for each in samples)))
        found: dict[str, float] = {}
        for kind, pairs in seen.items():
            done = sum(count for _, count in pairs)
            if kind in each.work:
                found[kind] = each.work[kind]
            elif of := sum(one.other for one, _ in pairs):
                found[kind] = done / of * each.other
            elif not each.work:
                found[kind] = done / len(pairs)
        return found

    def _beside(self, whole: Sequence[Units]) -> Range:
        """What else than work all these steps take."""
        if not self.first:
            return Range(0.0, 0.0, 0.0)
        cold = self._else(self.first[0][1])
        warm = [(each, self._else(step)) for each, step in (*self.first[1:], *self.second)]
        amounts = {each.amount for each, _ in warm}
        if not warm:
            return Range(0.7, 1.0, 1.3).times(cold * len(whole))
        if len(amounts) > 1 and whole[0].grows:
            fixed, low_slope, slope, high_slope = _grown(
                [(each.amount, seconds) for each, seconds in warm]
            )
        else:
            # One amount says nothing of what part of it is an image's: none, some or all.
            seconds = min(taken for _, taken in warm)
            amount = max(1, next(iter(amounts)))
            same = not whole[0].grows or all(each.amount == amount for each in whole)
            low_slope, slope = 0.0, 0.0 if same else _PART * seconds / amount
            fixed, high_slope = seconds - slope * amount, slope / _PART
        begun = max(0.0, cold - fixed - slope * self.first[0][0].amount)
        grows = sum(each.amount for each in whole)
        always = Range(1 - _BESIDE, 1.0, 1 + _BESIDE).times(fixed * len(whole) + begun)
        return always + Range(low_slope * grows, slope * grows, high_slope * grows)

    def _else(self, step: Step) -> float:
        done = sum(
            self.rates[kind].seconds * each.amount
            for kind, samples in step.work.items()
            for each in samples
        )
        return max(0.0, step.seconds - done)


def _grown(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Fixed seconds, and those of an image: least, expected and most.

    Of equal steps the fastest counts, whom nothing disturbed. A difference of some hundredths of a
    second is chance, and thousands of images would make much of it.
    """
    least, most = min(x for x, _ in pairs), max(x for x, _ in pairs)
    low, high = (min(y for x, y in pairs if x == end) for end in (least, most))
    chance = 0.02 + 0.1 * low
    rise, images = high - low, most - least
    slope = max(0.0, rise - chance) / images
    return max(0.0, low - slope * least), slope / 2, slope, max(0.0, rise + chance) / images


def _line(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Fixed part and slope, none below 0, of a line through the means at least and most amount.

    >>> _line([(10, 2.0), (20, 3.0), (20, 3.0)])
    (1.0, 0.1)
    >>> _line([(10, 2.0), (20, 1.0)])
    (1.5, 0.0)
    """
    least, most = min(x for x, _ in pairs), max(x for x, _ in pairs)
    mean = sum(y for _, y in pairs) / len(pairs)
    if least == most:
        return mean, 0.0
    low, high = ([y for x, y in pairs if x == end] for end in (least, most))
    a, b = sum(low) / len(low), sum(high) / len(high)
    slope = (b - a) / (most - least)
    if slope <= 0:
        return mean, 0.0
    fixed = a - slope * least
    return (fixed, slope) if fixed >= 0 else (0.0, b / most)


def _names(steps: Sequence[Units]) -> list[str]:
    return list(dict.fromkeys(each.step for each in steps))


def _between(first: Run, second: Run, count: int) -> Range:
    """What ZenML takes around so many steps: of the second run for each, more once."""
    each = second.between / max(1, len(second.steps))
    once = max(0.0, first.between - each * len(first.steps))
    return Range(0.7, 1.0, 1.3).times(each * count + once)


def _by_cycle(what: str, first: Run, second: Run, cycles: int) -> int:
    """Bytes that grow with the cycles, in which an empty database is already."""
    a_run = max(0, second.written[what] - first.written[what])
    fixed = max(0, first.written[what] - a_run)
    return round(fixed + a_run / max(1, second.cycles) * cycles)


def _outputs(settings: RunSettings, first: Run, second: Run, cycles: int) -> int:
    """Bytes of the report, whose samples are more and larger; mostly images of a cycle."""
    a_cycle = max(0, second.written["outputs"] - first.written["outputs"]) / max(1, second.cycles)
    samples = max(1, settings.generation.sample_images)
    return round(a_cycle * cycles * samples / max(1, second.settings.generation.sample_images))


def as_json(found: Any) -> Any:
    """An estimate as plain values."""
    if hasattr(found, "__dataclass_fields__"):
        return {name: as_json(getattr(found, name)) for name in found.__dataclass_fields__}
    return [as_json(each) for each in found] if isinstance(found, list) else found
