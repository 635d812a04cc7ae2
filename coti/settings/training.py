"""How a cycle trains, and how it generates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from coti.settings._base import Strict, require


@dataclass(frozen=True)
class TrainSettings(Strict):
    """One cycle of textual inversion."""

    _section = "train."
    MOST: ClassVar[Mapping[str, int]] = {
        "batch_size": 65_536,
        "gradient_accumulation_steps": 65_536,
        "learning_rates": 1_000,
        "max_steps": 10_000_000,
        "phi_every": 10_000_000,
        "weight_decay": 1_000,
        "checkpoint_every": 10_000_000,
        "keep_latents_from": 1_000_000_000,
    }

    batch_size: int = 16
    """Images a step."""
    gradient_accumulation_steps: int = 1
    """Batches a step; raise it where a larger batch does not fit the memory."""
    learning_rates: tuple[float, ...] = (5e-3, 2.5e-3, 1e-3)
    """r_1 > … > r_m, an absolute AdamW rate each; without the dynamic schedule r_1 alone."""
    max_steps: int = 35
    """Most optimizer steps a cycle: six cycles of 35 on the bundled model, Stable Diffusion wants
    some 500 to 3,000 altogether."""
    phi_every: int = 25
    """Optimizer steps between two evaluations of φ; each costs ``phi_images`` generations."""
    phi_unit: Literal["steps", "epochs"] = "steps"
    """What ``phi_every`` counts; the paper counts epochs, which grow with X_T."""
    reinitialize: bool = False
    """Start every cycle from the initializer again (the authors' code) instead of from the last
    cycle's embedding."""
    captions: Literal["templates", "pool", "both"] = "templates"
    """``templates``: the CLIP ImageNet templates; ``pool``: the image's own caption with the
    token put before it; ``both``: one or the other at random."""
    caption_dropout: float = 0.0
    """Share of images trained with the bare token as caption, 0 to 1."""
    timesteps: Literal["uniform", "stratified"] = "stratified"
    """``uniform``: each image's drawn by itself; ``stratified``: one of each of ``batch_size``
    equal parts of the noise schedule, so that every step sees all levels of noise (Kingma et al.
    2021)."""
    average: float = 0.15
    """Width σ_rel of the average over the latest steps that a cycle ends with (Karras et al. 2024),
    as a part of all steps so far: 0.1 is about their last third. 0: the last step's."""
    horizontal_flip: bool = False
    """Mirror images at random. Off: concepts with writing or a handedness would be spoilt."""
    adam_betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    """AdamW decay; pulls vectors to the origin, which no word of a vocabulary sits at."""
    gradient_checkpointing: bool = False
    """Less memory, about a third more time."""
    compile: bool = False
    """``torch.compile`` the UNet; pays on GPUs after some hundred steps."""
    checkpoint_every: int = 25
    """Optimizer steps between checkpoints; 0 writes none."""
    keep_latents_from: int = 256
    """MiB of latents from which they are kept in the artifact store, so that a run that was
    killed does not encode again; fewer are encoded again faster than they are fetched. 2,000
    images at 512² are 256 MiB. 0 keeps none. Over 16 GiB (128,000 images at 512²) they are
    never kept: they lie in a file on this machine's disk (TMPDIR) and are encoded anew."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = self.learning_rates
        require(
            len(rates) > 0
            and all(rate > 0 for rate in rates)
            and list(rates) == sorted(set(rates), reverse=True),
            f"train.learning_rates {list(rates)} must be positive and fall: r_1 > r_2 > … > r_m.",
        )
        self._at_least(1, "batch_size", "gradient_accumulation_steps", "max_steps", "phi_every")
        self._at_least(0, "weight_decay", "checkpoint_every", "keep_latents_from")
        self._within(0, 0.28, "a width", "average")
        self._within(0, 1, "a share", "caption_dropout")
        require(
            all(0.0 <= beta < 1.0 for beta in self.adam_betas),
            f"train.adam_betas is {list(self.adam_betas)}: each from 0 to below 1.",
        )


@dataclass(frozen=True)
class ScheduleSettings(Strict):
    """The dynamic schedule inside a cycle, driven by φ (Eq. 12)."""

    _section = "schedule."
    MOST: ClassVar[Mapping[str, int]] = {
        "fall": 1_000,
        "plateau": 1_000,
        "plateau_width": 1_000,
        "plateau_evaluations": 10_000_000,
        "dvar_window": 10_000_000,
    }

    dynamic: bool = False
    """On: φ lowers the rate and ends cycles, as in the paper. Off: ``max_steps`` at r_1, whatever φ
    says."""
    fall: float = 0.05
    """φ fell if it is lower than the evaluation before by more than this (φ is in [0, 10])."""
    plateau: float = 8.0
    """A plateau counts as high from here on."""
    plateau_width: float = 0.1
    """Evaluations within this of each other are a plateau."""
    plateau_evaluations: int = 3
    """Evaluations on a high plateau that end the cycle."""
    stop: Literal["phi", "dvar"] = "phi"
    """``phi``: as above. ``dvar``: one rate, and the end when the loss on a fixed batch has
    settled (Voronov et al. 2023); φ is recorded and decides nothing. Costs a forward pass more a
    step, about a third, and generates no images."""
    dvar_window: int = 200
    """Steps over which the variance is compared with that of all; the cycle lasts longer."""
    dvar_threshold: float = 0.15
    """Share of the whole variance below which the cycle ends; less trains longer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(0, "fall", "plateau", "plateau_width")
        self._at_least(1, "plateau_evaluations")
        self._at_least(2, "dvar_window")
        require(
            0.0 < self.dvar_threshold < 1.0,
            f"schedule.dvar_threshold is {self.dvar_threshold}: a share between 0 and 1.",
        )


@dataclass(frozen=True)
class GenerationSettings(Strict):
    """How images are generated, for φ, evaluation and samples."""

    _section = "generation."
    MOST: ClassVar[Mapping[str, int]] = {
        "num_inference_steps": 1_000,
        "guidance_scale": 1_000,
        "guidance_interval": 1_000_000_000,
        "batch_size": 65_536,
        "phi_images": 1_000_000,
        "cycle_images": 1_000_000,
        "sample_images": 10_000,
    }

    num_inference_steps: int = 10
    """Solver steps; the time is proportional. With the default solver more than ten change the
    bundled model's metrics little; Stable Diffusion wants 20 to 25."""
    guidance_scale: float = 1.5
    """Weight of the prompt (classifier-free guidance). More follows the prompt more closely and
    generates less varied images; 1 and below turn it off and halve the time. Stable Diffusion is
    usually run at 7.5."""
    guidance_interval: tuple[float, float] | None = None
    """Noise levels σ_lo and σ_hi between which the prompt's weight holds; at others it is 1
    (Kynkäänniemi et al. 2024): images as close to the prompt, more varied. Without: everywhere."""
    scheduler: str = "DPMSolverMultistepScheduler"
    """A scheduler class of diffusers."""
    use_karras_sigmas: bool = True
    """Noise levels as Karras et al. 2022, equation 5, with schedulers that know them: more of the
    steps where little noise is left, which few steps need most. With false the model's own."""
    batch_size: int = 64
    """Images at once; guidance doubles it inside."""
    phi_images: int = 32
    """Images an evaluation of φ inside a cycle, always on the same noise and prompts."""
    cycle_images: int = 256
    """|X_TI|: images at the end of a cycle, for γ of the next selection and the metrics; at
    least the judge's feature width."""
    sample_images: int = 16
    """Images of the sample grid, on fixed noise."""
    prompts: tuple[str, ...] = ("a photo of a {}",)
    """Prompts of X_TI in turn; ``{}`` stands for the token."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(1, "num_inference_steps", "batch_size", "phi_images")
        self._at_least(2, "cycle_images")
        self._at_least(0, "sample_images")
        require(len(self.prompts) > 0, "generation.prompts is empty: give at least one prompt.")
        if self.guidance_interval is not None:
            low, high = self.guidance_interval
            require(
                0.0 <= low < high,
                f"generation.guidance_interval is [{low}, {high}]: two noise levels, "
                "0 <= σ_lo < σ_hi.",
            )
