"""One run of COTI: the one configuration of the main job, of experiments and of ``coti.learn``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, Literal

from coti.core.redaction import redacted
from coti.settings._base import Strict, require
from coti.settings.baselines import BaselineSettings, MeasurementSettings
from coti.settings.captioning import CaptionerSettings
from coti.settings.evaluation import EvaluationSettings, PromotionSettings
from coti.settings.image_fit import ImageSettings
from coti.settings.ingestion import PoolSettings
from coti.settings.model import ModelSettings, TokenSettings
from coti.settings.presets import with_preset
from coti.settings.scoring import (
    AestheticSettings,
    ConceptScoreSettings,
    ControllerSettings,
    ScorerSettings,
    SelectionSettings,
)
from coti.settings.training import GenerationSettings, ScheduleSettings, TrainSettings

__all__ = ["RunSettings", "flat"]


_AFTERWARDS = ("output", "promotion")
"""Keys that are read when all results are there."""


@dataclass(frozen=True)
class RunSettings(Strict):
    """One run. Relative paths start at the root of the repository."""

    MOST: ClassVar[Mapping[str, int]] = {
        "baseline_images": 1_000_000,
        "seed": 9_223_372_036_854_775_807,
        "threads": 1_024,
    }

    concept: str = ""
    """The concept's name: names the MLflow experiment and the registered model."""
    seeds: str = ""
    """Folder of about ten good images of the concept."""
    pool: str = ""
    """The messy web pool: a folder, tar shards, a table of URLs, or an ``s3://`` prefix."""
    references: str | None = None
    """Folder of held-out real images for the metrics; without it they are left out."""
    ground_truth: str | None = None
    """Ground truth of a benchmark pool: read by the metric ``selection_precision``, and by the
    strategy ``oracle``, which is a cheat by design."""
    strategy: str = "self_trained"
    """How X_T grows (:data:`coti.selection.STRATEGIES`): ``self_trained`` by what seeds, words and
    the pool itself teach; ``coti`` by S_int, the paper's score; ``random`` pool images
    (TI (RAND)); ``full``, the whole pool (TI (FULL)); ``seeds`` alone; ``oracle``, clean images of
    the ground truth; what a user would do instead: ``text_top``, the nearest to the concept's name,
    ``filtered``, a random choice of what passes for it and looks good, ``nearest_to_seeds``; one
    score alone: ``is``, ``lpips``, ``relic``, ``tanet``, ``sd_chad``,
    ``vlad``. In experiments also ``none``: no textual inversion, the
    concept's name is generated."""
    growth: Literal["auto", "cycles", "at_once"] = "auto"
    """``cycles``: B more images a cycle; ``at_once``: all before the only cycle, which may take as
    many steps as all cycles together; ``auto``: what the strategy is by itself."""
    baseline_images: int = 150
    """Pool images that are added at once, or the most: as many as five cycles of 30."""
    captions: Literal["pool", "auto"] = "pool"
    """``pool``: an image has the caption that its pool gives it, or none; ``auto``: what of X_T has
    none, seeds too, is described by ``captioner``, for ``train.captions`` and for the set that
    ``coti dataset export`` reads."""
    seed: int = 0
    threads: int = 0
    """Processor threads that everything is computed with, on which float32 sums depend; 0: as many
    as torch takes by itself (``OMP_NUM_THREADS``, or the cores)."""
    model: ModelSettings = field(default_factory=ModelSettings)
    token: TokenSettings = field(default_factory=TokenSettings)
    images: ImageSettings = field(default_factory=ImageSettings)
    pool_rules: PoolSettings = field(default_factory=PoolSettings)
    scorer: ScorerSettings = field(default_factory=ScorerSettings)
    captioner: CaptionerSettings = field(default_factory=CaptionerSettings)
    aesthetic: AestheticSettings = field(default_factory=AestheticSettings)
    concept_score: ConceptScoreSettings = field(default_factory=ConceptScoreSettings)
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    controller: ControllerSettings = field(default_factory=ControllerSettings)
    promotion: PromotionSettings = field(default_factory=PromotionSettings)
    measurement: MeasurementSettings = field(default_factory=MeasurementSettings)
    baselines: BaselineSettings = field(default_factory=BaselineSettings)
    output: str = "outputs"
    """Folder for what a person reads: ``<output>/<run>`` and ``<output>/latest``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        size = len(self.concept.encode("utf-8", "surrogatepass"))
        require(size <= 200, f"concept has {size} bytes: at most 200, it names folders.")
        require(self.concept.isprintable(), "concept holds characters that cannot be printed.")
        self._at_least(1, "baseline_images")
        self._at_least(0, "threads")
        for name, value in flat(asdict(self)).items():
            require(
                not isinstance(value, str) or redacted(value) == value,
                f"{name} holds a login or a signature, and settings are kept and shown: leave it "
                "out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Whoever reads a run file, ZenML too, takes its ``preset`` for what it stands for."""
        from pydantic import BeforeValidator

        return BeforeValidator(with_preset).__get_pydantic_core_schema__(source, handler)

    @property
    def asked_for(self) -> str:
        """The words by which the scorer's text tower is asked for the concept."""
        return self.selection.text or self.concept

    def added_in(self, cycle: int) -> int:
        """Images of the pool that a cycle adds where X_T grows by cycles.

        ``baseline_images`` is N·B here, as :func:`coti.loop.plan.effective` leaves it: of these
        ``selection.first`` join in cycle 0, the rest in equal parts.

        >>> run = RunSettings(selection=SelectionSettings(batch=15), baseline_images=75)
        >>> [run.added_in(cycle) for cycle in range(6)]
        [38, 7, 8, 7, 8, 7]
        """
        part = self.selection.first
        if cycle == 0:
            return round(part * self.baseline_images)
        each = (1 - part) * self.selection.batch
        return int(each * cycle) - int(each * (cycle - 1))

    @property
    def image_step_cap(self) -> int:
        """Most images that may go through the UNet; the same for all strategies that train."""
        a_step = self.train.batch_size * self.train.gradient_accumulation_steps
        return (self.controller.max_cycles + 1) * self.train.max_steps * a_step

    def only(self, *names: str) -> RunSettings:
        """These parts and keys, all others at their defaults: what one station of a run uses.

        A change elsewhere is then no change to it. Which of several devices of one kind computes
        is none, either; how many threads do is one, for every station.
        """
        anywhere = self.on_any_device()
        return RunSettings(**{name: getattr(anywhere, name) for name in {*names, "threads"}})

    def for_results(self) -> RunSettings:
        """Without what can change no result, which is at its default: where and what follows."""
        every = (each.name for each in fields(self))
        return self.only(*(name for name in every if name not in _AFTERWARDS))

    def without_review(self) -> RunSettings:
        """Without where a review lies: a step is given what it says."""
        return replace(self, selection=replace(self.selection, review=None))

    def on_any_device(self) -> RunSettings:
        """With the kind of device alone: ``cuda`` for ``cuda:1``."""
        kind = self.model.device.partition(":")[0]
        return replace(self, model=replace(self.model, device=kind))

    def fingerprint(self) -> str:
        """Hash of every setting that can change a result, 16 hex digits."""
        values = asdict(self)
        for name in _AFTERWARDS:
            del values[name]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names.

    >>> flat({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
