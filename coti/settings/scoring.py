"""How images are scored and selected, and when the loop ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from coti.settings._base import Strict, require


@dataclass(frozen=True)
class ScorerSettings(Strict):
    """The image-text model whose features all scores are computed on."""

    _section = "scorer."
    MOST: ClassVar[Mapping[str, int]] = {
        "batch_size": 65_536,
    }

    model: str = "assets/models/scorer"
    """A folder in open_clip's format, an open_clip model name, or ``hf-hub:…``."""
    pretrained: str | None = None
    """Where ``model`` is an open_clip model name: the weights' tag, or a file of them: a path,
    ``hf://owner/name@revision/file``, ``s3://bucket/key``."""
    sha256: str | None = None
    """Pinned hash of the folder or the weights' file, as ``coti weights hash`` prints it."""
    batch_size: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(1, "batch_size")


@dataclass(frozen=True)
class AestheticSettings(Strict):
    """S_aes (Eq. 7): a head on frozen features, fine-tuned before every cycle."""

    _section = "aesthetic."
    MOST: ClassVar[Mapping[str, int]] = {
        "selected_rise": 10,
        "steps": 10_000_000,
        "learning_rate": 1_000,
    }

    head: str | None = "assets/models/aesthetic/aesthetic_head.safetensors"
    """The head θ_0 starts from; none: a fresh one, fitted to the ratings. LAION's has to be
    converted once: ``coti weights aesthetic-head``."""
    head_sha256: str | None = None
    """Pinned hash of the head's file; ``s3://`` needs it."""
    ratings: str | None = "assets/models/aesthetic/ratings.safetensors"
    """Rated features that every fine-tuning replays."""
    user_ratings: str | None = None
    """A CSV of yours, columns ``file_name`` (in the pool or the seeds) and ``rating`` (0 to 10)."""
    negatives: tuple[str, ...] = ()
    """Folders of images of other things; before every cycle as many of each as X_T has are replayed
    as the start head rates them, so that X_T's high ratings do not raise everything. The authors'
    are a look-alike, other concepts, and what the base model generates by the concept's name."""
    degrade_seeds: bool = True
    """Add graded degradations of the seeds, rated by their severity."""
    selected_start: float = 8.5
    """Rating of a selected image in the first fine-tuning after its selection; it rises by
    ``selected_rise`` a cycle, up to the seeds' 10."""
    selected_rise: float = 0.5
    steps: int = 200
    """Optimizer steps of a fine-tuning."""
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._within(0, 10, "a rating", "selected_start")
        self._at_least(0, "selected_rise", "steps")
        self._above_zero("learning_rate")

    @property
    def encoding(self) -> AestheticSettings:
        """What features depend on, the rest, such as ``steps``, at its defaults."""
        return AestheticSettings(negatives=self.negatives)


@dataclass(frozen=True)
class ConceptScoreSettings(Strict):
    """S_con (Eq. 8)."""

    _section = "concept_score."
    MOST: ClassVar[Mapping[str, int]] = {
        "batch_size": 65_536,
        "neighbours": 1_000_000,
        "classifier_steps": 10_000_000,
        "classifier_learning_rate": 1_000,
    }

    kind: Literal["min_cosine", "calibrated", "knn", "classifier"] = "classifier"
    """``min_cosine``: Eq. 8 as printed, ``10·max(0, least cosine to X_T)``; ``calibrated``: the
    same cosine, mapped so that the seeds, each held out, average 8 and the pool's bulk is 0;
    ``knn``: the mean cosine to the k nearest of X_T, so mapped; ``classifier``: the authors'
    idea, a small classifier of X_T against the rest of the pool, so mapped."""
    encoder: str = "scorer"
    """ℰ of Eq. 8: ``scorer``, the scorer's image features; ``autoencoder``, the latents of the base
    model's own autoencoder; ``open_clip``, the image-text model below, so that looks and concept
    are judged by two models; or another name of ``coti.encoders.registry``."""
    model: str | None = None
    """For ``encoder: open_clip``, as ``scorer.model``."""
    pretrained: str | None = None
    """For ``encoder: open_clip``, as ``scorer.pretrained``."""
    sha256: str | None = None
    """For ``encoder: open_clip``, as ``scorer.sha256``."""
    batch_size: int = 64
    """Images at once, where ``encoder`` is not the scorer."""
    neighbours: int = 5
    """k of ``knn``."""
    distractors: tuple[str, ...] = ()
    """Names of look-alikes and other things, for ``classifier``; optional: pool images that the
    scorer takes for one of these rather than for a seed are sure negatives."""
    classifier_steps: int = 200
    """Optimizer steps of each fit; more of them make up for a lower rate."""
    classifier_learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(1, "batch_size", "neighbours", "classifier_steps")
        self._above_zero("classifier_learning_rate")
        require(
            self.model is not None
            if self.encoder == "open_clip"
            else self.model is None or self.encoder not in ("scorer", "autoencoder"),
            "concept_score.model and concept_score.encoder: open_clip belong together: set both or "
            "neither.",
        )

    @property
    def encoding(self) -> ConceptScoreSettings:
        """What features depend on, the rest, such as ``kind``, at its defaults."""
        return ConceptScoreSettings(
            encoder=self.encoder,
            model=self.model,
            pretrained=self.pretrained,
            sha256=self.sha256,
            batch_size=self.batch_size,
            distractors=self.distractors,
        )


@dataclass(frozen=True)
class SelectionSettings(Strict):
    """Which images a cycle adds."""

    _section = "selection."
    MOST: ClassVar[Mapping[str, int]] = {
        "batch": 1_000_000,
        "spread": 1_000_000,
    }

    batch: int = 30
    """B: images a cycle adds, on the mean."""
    first: float = 0.5
    """Part of all N·B images that cycle 0 adds before anything is trained, 0 to 1; the other cycles
    add the rest in equal parts. 0: cycle 0 trains on the seeds alone and B join in each other one,
    as in the paper."""
    combine: Literal["intelligent", "additive"] = "intelligent"
    """``intelligent``: Eq. 11; ``additive``: S_aes + S_con, whatever the embedding generates."""
    weight_floor: float = 0.3
    """Least weight of either score in Eq. 11; 0 is Eq. 11 as printed."""
    concept_gate: float = 5.0
    """S_con below which an image is never picked; 0 is the paper."""
    aesthetic_gate: float = 0.0
    """S_aes below which an image is never picked; 0 is the paper."""
    spread: float = 20.0
    """B images are drawn at random from the best ``spread``·B instead of taking the best B; 1 is
    the paper. The very best of a score are alike: more spread keeps X_T as varied as the concept
    is, at the price of a few more wrong picks. Use both gates with it."""
    text: str | None = None
    """Words by which the scorer's text tower is asked for the concept, in "a photo of a …", for
    strategies that go by text; none: the concept's name."""
    suppress_duplicates: float = 0.0
    """Cosine above which two images of one batch count as the same; the better one stays, with
    ``spread`` the one drawn first. 0: off."""
    review: str | None = None
    """A set that people reviewed (``coti review``), or its folder ``review``: dropped images never
    join X_T, kept ones before all others, ratings count as ``aesthetic.user_ratings``, captions
    stand in place of the pool's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.text is None or bool(self.text.strip()),
            "selection.text is empty: give words, or null for the concept's name.",
        )
        self._at_least(1, "batch", "spread")
        self._within(0, 1, "a part", "first")
        self._within(0, 10, "a score", "concept_gate", "aesthetic_gate")
        self._within(0, 1, "a weight", "weight_floor")
        self._within(0, 1, "a cosine", "suppress_duplicates")


@dataclass(frozen=True)
class ControllerSettings(Strict):
    """When to stop."""

    _section = "controller."
    MOST: ClassVar[Mapping[str, int]] = {
        "max_cycles": 10_000,
        "patience": 1_000_000,
        "min_improvement": 1_000,
    }

    max_cycles: int = 5
    """N: most cycles after cycle 0."""
    patience: int | None = None
    """Cycles without a higher φ_ref after which the run stops; none: φ_ref stops nothing."""
    min_improvement: float | None = None
    """A cycle may be kept where its φ_ref lies this much above the best so far. Below 0 it may
    where φ_ref fell, too, by less than this. None: every cycle may: φ_ref is a mean, it favours
    cycles that generate few kinds of images, and where seeds are of one look it falls as X_T
    widens."""
    keep: Literal["nearest", "last"] = "nearest"
    """Which embedding is kept of the cycles that may be kept. ``nearest``: the one
    whose generations are the nearest to X_T (KID on the scorer's features), so that a cycle that
    drifted or generates few kinds of images is not; ``last``, with a ``min_improvement`` of 0 the
    best by φ_ref, as the paper."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(0, "max_cycles")
        if self.patience is not None:
            self._at_least(1, "patience")
