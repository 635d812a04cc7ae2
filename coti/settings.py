"""What can be set, one frozen dataclass a part; the prose under a field says what more costs.

These are standard-library dataclasses, so that ``coti`` needs no configuration library; the
pipelines nest them in one pydantic model, which checks types and refuses unknown keys. Values
that are wrong in themselves are refused here, with the remedy in the message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from coti.errors import ConfigError

__all__ = [
    "AestheticSettings",
    "ConceptScoreSettings",
    "ControllerSettings",
    "EvaluationSettings",
    "FetchSettings",
    "GenerationSettings",
    "ModelSettings",
    "PoolSettings",
    "PromotionSettings",
    "ScheduleSettings",
    "ScorerSettings",
    "SelectionSettings",
    "Strategy",
    "TokenSettings",
    "TrainSettings",
]

Strategy = Literal["coti", "random", "full", "seeds"]
"""How X_T grows: by S_int; random pool pictures (TI (RAND)); the whole pool (TI (FULL)); never."""


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(message)


class _Strict:
    """Makes pydantic refuse unknown keys in the dataclasses below."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True)
class ModelSettings(_Strict):
    """The text-to-image model that learns the word."""

    base_model: str = "assets/models/base"
    """A diffusers folder or a hub id; a single-file checkpoint has to be converted first."""
    revision: str | None = None
    """Commit of the hub repository; pin it, or a moved branch changes your results."""
    device: str = "auto"
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the frozen parts; the embedding itself is always float32. ``auto``: bfloat16
    on a GPU or CPU with instructions of its own for it (a CPU then trains and draws more
    than half again as fast), float16 on an older GPU, float32 on any other CPU."""


@dataclass(frozen=True)
class TokenSettings(_Strict):
    """The new word."""

    placeholder_token: str = "<concept>"
    """The word to be learned; must not be in the vocabulary yet."""
    initializer: str = "object"
    """Where it starts: a word (one token of the model), or the path of an
    embedding file of the same width. A word near the concept saves steps."""
    num_vectors: int = 4
    """Vectors a token. More fit the concept closer and leave less room for the prompt."""
    learnable_property: Literal["object", "style"] = "object"
    """Which of the CLIP ImageNet templates training uses: 27 for objects, 19 for styles."""
    norm_control: Literal["none", "clip", "rescale"] = "clip"
    """``clip`` keeps each vector's norm at or below the vocabulary's largest, ``rescale`` at the
    vocabulary's mean; a longer one shouts down the rest of a prompt."""

    def __post_init__(self) -> None:
        token = self.placeholder_token
        _require(
            bool(token) and not any(c.isspace() for c in token),
            f"placeholder_token {token!r} must be one word without spaces, such as <my-concept>.",
        )
        _require(
            1 <= self.num_vectors <= 64,
            f"num_vectors is {self.num_vectors}: choose 1 to 64 (the paper's code uses 8).",
        )


@dataclass(frozen=True)
class TrainSettings(_Strict):
    """One cycle of textual inversion."""

    batch_size: int = 16
    """Pictures a step."""
    gradient_accumulation_steps: int = 1
    """Batches a step; raise it where a larger batch does not fit the memory."""
    learning_rates: tuple[float, ...] = (1e-2, 5e-3, 2.5e-3, 1e-3)
    """r_1 > … > r_m of the dynamic schedule, an absolute AdamW rate each."""
    max_steps: int = 100
    """Most optimizer steps a cycle. The bundled model learns a word in 50, Stable Diffusion wants
    some 500 to 3,000."""
    phi_every: int = 25
    """Optimizer steps between two evaluations of φ; each costs ``phi_images`` generations."""
    phi_unit: Literal["steps", "epochs"] = "steps"
    """What ``phi_every`` counts; the paper counts epochs, which grow with X_T."""
    reinitialize: bool = False
    """Start every cycle from the initializer again (the authors' code) instead of from the last
    cycle's embedding."""
    captions: Literal["templates", "pool", "both"] = "templates"
    """``templates``: the CLIP ImageNet templates; ``pool``: the picture's own caption with the
    token put before it; ``both``: one or the other at random."""
    caption_dropout: float = 0.0
    """Share of pictures trained with the bare token as caption, 0 to 1."""
    horizontal_flip: bool = False
    """Mirror pictures at random. Off: concepts with writing or a handedness would be spoilt."""
    adam_betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    """AdamW decay; pulls vectors to the origin, which no word of a vocabulary sits at."""
    gradient_checkpointing: bool = False
    """Less memory, about a third more time."""
    compile: bool = False
    """``torch.compile`` the UNet; pays on GPUs after some hundred steps."""
    checkpoint_every: int = 25
    """Optimizer steps between checkpoints; 0 writes none."""

    def __post_init__(self) -> None:
        rates = self.learning_rates
        _require(
            len(rates) > 0
            and all(rate > 0 for rate in rates)
            and list(rates) == sorted(set(rates), reverse=True),
            f"learning_rates {list(rates)} must be positive and fall: r_1 > r_2 > … > r_m.",
        )
        for name in ("batch_size", "gradient_accumulation_steps", "max_steps", "phi_every"):
            _require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}: at least 1.")
        _require(
            0.0 <= self.caption_dropout <= 1.0,
            f"caption_dropout is {self.caption_dropout}: a share from 0 to 1.",
        )


@dataclass(frozen=True)
class ScheduleSettings(_Strict):
    """The dynamic schedule inside a cycle, driven by φ (Eq. 12)."""

    dynamic: bool = True
    """Off: ``max_steps`` at r_1, whatever φ says."""
    fall: float = 0.05
    """φ fell if it is lower than the evaluation before by more than this (φ is in [0, 10])."""
    plateau: float = 8.0
    """A plateau counts as high from here on."""
    plateau_width: float = 0.1
    """Evaluations within this of each other are a plateau."""
    plateau_evaluations: int = 3
    """Evaluations on a high plateau that end the cycle."""


@dataclass(frozen=True)
class GenerationSettings(_Strict):
    """How pictures are drawn, for φ, evaluation and samples."""

    num_inference_steps: int = 10
    """Solver steps; the time is proportional. With the default solver more than ten change the
    bundled model's metrics little; Stable Diffusion wants 20 to 25."""
    guidance_scale: float = 2.0
    """Weight of the prompt (classifier-free guidance). More follows the word more closely and
    draws less varied pictures; 1 and below turn it off and halve the time. Stable Diffusion is
    usually drawn at 7.5."""
    scheduler: str = "DPMSolverMultistepScheduler"
    """A scheduler class of diffusers."""
    batch_size: int = 64
    """Pictures at once; guidance doubles it inside."""
    phi_images: int = 32
    """Pictures an evaluation of φ inside a cycle, always on the same noise and prompts."""
    cycle_images: int = 256
    """|X_TI|: pictures at the end of a cycle, for γ of the next selection and the metrics; at
    least the judge's feature width."""
    sample_images: int = 16
    """Pictures of the sample grid, on fixed noise."""
    prompts: tuple[str, ...] = ("a photo of a {}",)
    """Prompts of X_TI in turn; ``{}`` stands for the token."""


@dataclass(frozen=True)
class ScorerSettings(_Strict):
    """The image-text model whose features all scores are computed on."""

    model: str = "assets/models/scorer"
    """A folder in open_clip's format, an open_clip model name, or ``hf-hub:…``."""
    pretrained: str | None = None
    """The weights' tag where ``model`` is an open_clip model name."""
    batch_size: int = 256


@dataclass(frozen=True)
class AestheticSettings(_Strict):
    """S_aes (Eq. 7): a head on frozen features, fine-tuned before every cycle."""

    head: str | None = "assets/models/aesthetic/aesthetic_head.safetensors"
    """The head θ_0 starts from; none: a fresh one, fitted to the ratings."""
    ratings: str | None = "assets/models/aesthetic/ratings.safetensors"
    """Rated features that every fine-tuning replays."""
    user_ratings: str | None = None
    """A CSV of yours, columns ``file_name`` (in the pool or the seeds) and ``rating`` (0 to 10)."""
    degrade_seeds: bool = True
    """Add graded degradations of the seeds, rated by their severity."""
    selected_start: float = 8.0
    """Rating of a picture in the cycle it is selected; it rises by ``selected_rise`` a cycle, up
    to the seeds' 10."""
    selected_rise: float = 0.5
    steps: int = 200
    """Optimizer steps of a fine-tuning."""
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class ConceptScoreSettings(_Strict):
    """S_con (Eq. 8)."""

    kind: Literal["min_cosine", "calibrated", "knn", "classifier"] = "classifier"
    """``min_cosine``: Eq. 8 as printed, ``10·max(0, least cosine to X_T)``; ``calibrated``: the
    same cosine, mapped so that the seeds, each held out, average 8 and the pool's bulk is 0;
    ``knn``: the mean cosine to the k nearest of X_T, so mapped; ``classifier``: the authors'
    idea, a small classifier of X_T against the rest of the pool, so mapped."""
    encoder: Literal["scorer", "autoencoder"] = "scorer"
    """ℰ of Eq. 8: the scorer's image features, or the latents of the model's own autoencoder."""
    neighbours: int = 5
    """k of ``knn``."""
    distractors: tuple[str, ...] = ()
    """Names of look-alikes and other things, for ``classifier``; optional: pool pictures that the
    scorer takes for one of these rather than for a seed are sure negatives."""
    classifier_steps: int = 200
    """Optimizer steps of each fit; more of them make up for a lower rate."""
    classifier_learning_rate: float = 1e-2


@dataclass(frozen=True)
class SelectionSettings(_Strict):
    """Which pictures a cycle adds."""

    batch: int = 30
    """B: pictures a cycle adds."""
    weight_floor: float = 0.3
    """Least weight of either score in Eq. 11; 0 is Eq. 11 as printed."""
    concept_gate: float = 5.0
    """S_con below which a picture is never picked; 0 is the paper."""
    aesthetic_gate: float = 0.0
    """S_aes below which a picture is never picked; 0 is the paper."""
    spread: float = 10.0
    """B pictures are drawn at random from the best ``spread``·B instead of taking the best B; 1 is
    the paper. The very best of a score are alike: more spread keeps X_T as varied as the concept
    is, at the price of a few more wrong picks. Use both gates with it."""
    suppress_duplicates: float = 0.0
    """Cosine above which two pictures of one batch count as the same, the better one stays; 0:
    off."""

    def __post_init__(self) -> None:
        _require(self.batch >= 1, f"selection.batch is {self.batch}: at least 1.")
        _require(
            self.spread >= 1.0,
            f"selection.spread is {self.spread}: 1 (the best B) or more.",
        )
        _require(
            0.0 <= self.aesthetic_gate <= 10.0,
            f"selection.aesthetic_gate is {self.aesthetic_gate}: a score from 0 to 10.",
        )
        _require(
            0.0 <= self.weight_floor <= 1.0,
            f"selection.weight_floor is {self.weight_floor}: a weight from 0 to 1.",
        )
        _require(
            0.0 <= self.concept_gate <= 10.0,
            f"selection.concept_gate is {self.concept_gate}: a score from 0 to 10.",
        )


@dataclass(frozen=True)
class ControllerSettings(_Strict):
    """When to stop."""

    max_cycles: int = 5
    """N: most cycles after cycle 0, which trains on the seeds alone."""
    patience: int = 2
    """Cycles without a better φ_ref after which the run stops."""
    min_improvement: float = 0.0
    """φ_ref counts as better from this much above the best so far."""


@dataclass(frozen=True)
class EvaluationSettings(_Strict):
    """The judge's metrics. Recorded and used by the promotion gate only."""

    judge: str = "assets/models/judge"
    """An image-text model in open_clip's format, of another family than the scorer."""
    judge_pretrained: str | None = None
    captions: tuple[str, ...] = ()
    """Candidate captions of R-precision; the concept's own is added where it is missing."""
    caption_template: str = "a photo of a {}"
    fd_name: str = "judge"
    """The Fréchet distance is reported as ``fd_<name>``; ``fid`` is reserved for Inception-v3."""
    kid_subsets: int = 50
    kid_subset_size: int = 100
    batch_size: int = 256


@dataclass(frozen=True)
class FetchSettings(_Strict):
    """How pictures are fetched where the pool is a table of URLs."""

    user_agent: str = "coti/0.1 (research crawler; set pool.fetch.user_agent to your contact)"
    """Who asks. Put an address of yours in it; hosts refuse the anonymous."""
    concurrency: int = 32
    """Requests at once, over all hosts."""
    per_host: int = 4
    """Requests at once to one host."""
    host_delay: float = 0.1
    """Least seconds between the starts of two requests to one host."""
    timeout: float = 30.0
    """Seconds a picture may take, all of its redirects together."""
    attempts: int = 3
    """Tries of what is worth a retry: refused connections, cut bodies, 408, 425, 429, 5xx."""
    backoff: float = 0.5
    """Seconds before the second try; doubles, with jitter. ``Retry-After`` is honoured."""
    max_redirects: int = 5
    opt_out: tuple[str, ...] = ("noai", "noimageai", "noindex", "noimageindex")
    """``X-Robots-Tag`` directives under which a picture is left alone."""
    shard_size: int = 1_000
    """URLs a shard; a broken run goes on behind its last whole shard."""
    allowed_networks: tuple[str, ...] = ()
    """Networks (``127.0.0.0/8``) that may be fetched from though they are not public. For tests
    and mirrors of your own: whoever writes the table then reaches these hosts too."""

    def __post_init__(self) -> None:
        for name in ("concurrency", "per_host", "attempts", "shard_size"):
            _require(
                getattr(self, name) >= 1,
                f"pool.fetch.{name} is {getattr(self, name)}: at least 1.",
            )


@dataclass(frozen=True)
class PoolSettings(_Strict):
    """What may enter a pool."""

    kind: Literal["auto", "folder", "webdataset", "url_table", "s3", "img2dataset"] = "auto"
    """``auto`` looks at the source and says what it found."""
    caption_language: str = ""
    """Where sidecar captions are translated (``de.utf8=…`` lines): the language to take, or the
    untranslated line."""
    min_side: int = 16
    """Pixels of the shorter side."""
    max_pixels: int = 50_000_000
    """More pixels than this is a decompression bomb."""
    max_bytes: int = 50_000_000
    """Larger files are not opened."""
    max_aspect_ratio: float = 3.0
    """Longer side over shorter side."""
    max_caption_length: int = 2_000
    """Characters; longer captions are cut, and the row says so."""
    max_raw_caption_length: int = 100_000
    """Characters; with more than this it is no caption, and the row is quarantined."""
    animated: Literal["quarantine", "first_frame"] = "quarantine"
    """A first frame is often blank or a title, so animations are not pictures by default."""
    max_watermark: float = 0.8
    """``pwatermark`` of the table above which a row is quarantined, where there is one."""
    max_unsafe: float = 0.5
    """``punsafe`` of the table above which a row is quarantined, where there is one."""
    min_similarity: float = 0.0
    """CLIP similarity of the table below which a row is quarantined, where there is one."""
    allowed_licenses: tuple[str, ...] = ()
    """Licences a row may have, where the table names one; empty: any."""
    reject_quality: tuple[Literal["blurry", "dark", "light", "low_information"], ...] = ()
    """Quality flags that quarantine a picture; all are recorded in any case. Empty: scoring
    decides, which also knows a dark picture that is meant to be dark."""
    near_duplicate_bits: int = 2
    """Hamming distance of two 64-bit perceptual hashes up to which pictures are near duplicates;
    -1: off."""
    near_duplicate_difference: float = 4.0
    """Mean grey level difference (0 to 255, on 16x16 thumbnails) that near duplicates may have
    besides; perceptual hashes alone take two similar boots for one."""
    decode_timeout: float = 20.0
    """Seconds a picture may take to decode."""
    decode_memory: int = 2_000_000_000
    """Bytes of address space that decoding may take on top of the libraries."""
    workers: int = 0
    """Decoding processes; 0: one a core."""
    read_threads: int = 8
    """Files, objects or shard members read at once, beside decoding."""
    min_accepted: int = 1
    """Accepted pictures below which the run stops."""
    max_quarantined_share: float = 0.9
    """Quarantined share above which the run stops: a pool like that is a mistake."""
    drift: Literal["off", "warn", "stop"] = "warn"
    """What a drift against the last ingested version of the pool does."""
    max_drift: float = 0.5
    """Relative change of the mean width, height, file size, caption length and of the
    accepted share, above which the pool has drifted."""
    s3_endpoint: str | None = None
    """Endpoint of an S3-compatible store; none: AWS, or ``AWS_ENDPOINT_URL``."""
    fetch: FetchSettings = field(default_factory=FetchSettings)

    def __post_init__(self) -> None:
        _require(self.min_side >= 1, f"pool.min_side is {self.min_side}: at least 1.")
        for name in ("max_pixels", "max_bytes", "max_caption_length", "read_threads"):
            _require(getattr(self, name) >= 1, f"pool.{name} is {getattr(self, name)}: at least 1.")
        _require(
            self.max_aspect_ratio >= 1.0,
            f"pool.max_aspect_ratio is {self.max_aspect_ratio}: longer over shorter, at least 1.",
        )
        _require(
            self.decode_timeout > 0,
            f"pool.decode_timeout is {self.decode_timeout}: seconds, more than 0.",
        )
        _require(
            -1 <= self.near_duplicate_bits <= 16,
            f"pool.near_duplicate_bits is {self.near_duplicate_bits}: -1 (off) to 16 of 64.",
        )
        _require(
            0.0 <= self.max_quarantined_share <= 1.0,
            f"pool.max_quarantined_share is {self.max_quarantined_share}: a share from 0 to 1.",
        )


@dataclass(frozen=True)
class PromotionSettings(_Strict):
    """The gate between ``challenger`` and ``champion``."""

    fd_margin: float = 0.02
    """Share by which the Fréchet distance must fall below the champion's."""
    r_precision_margin: float = 0.0
    """How much R-precision must rise above the champion's."""
    fd_ceiling: float | None = None
    """Absolute floor of quality for a first champion: the largest Fréchet distance."""
    r_precision_floor: float = 0.5
    """Absolute floor of quality for a first champion: the least R-precision."""
    min_samples: int = 64
    """Least generated and reference pictures behind the metrics."""
