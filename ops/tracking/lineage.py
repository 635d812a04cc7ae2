"""What a run is made of: hashes of its inputs, and what MLflow and the registry say of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from coti.core.errors import ConfigError
from coti.settings import (
    ConceptScoreSettings,
    EvaluationSettings,
    ModelSettings,
    RunSettings,
    ScorerSettings,
)
from coti.settings.run import flat
from ops.stack.cache_policy import code_fingerprint
from ops.stack.input_hashes import (
    fingerprint_file,
    fingerprint_model,
    fingerprint_optional,
    fingerprint_pool,
)
from ops.stack.locations import ROOT
from ops.stack.review_inputs import review_of

__all__ = [
    "Fingerprints",
    "base_model_fingerprint",
    "captioner_fingerprint",
    "compared_by",
    "fingerprints_of",
    "judge_fingerprint",
    "negatives_fingerprint",
    "params_of",
    "plain_values",
    "review_fingerprint",
    "scorers_fingerprint",
    "ssl_judge_fingerprint",
    "tags_of",
    "weights_of",
]

ALWAYS = ("concept", "strategy", "seed")
"""Settings that runs are compared by, be they at their defaults."""


@dataclass(frozen=True)
class Fingerprints:
    """Content hashes of everything a run reads from outside, so that the cache sees it change."""

    pool: str
    seeds: str
    references: str
    ground_truth: str
    base_model: str
    initializer: str
    scorer: str
    judge: str
    ssl_judge: str
    ratings: str
    baselines: str
    captioner: str
    review: str


def fingerprints_of(settings: RunSettings) -> Fingerprints:
    """Hash all inputs; a missing one is named here, before the first step runs."""
    for name in ("concept", "seeds", "pool"):
        if not getattr(settings, name).strip():
            raise ConfigError(f"{name} is missing: a run needs concept, seeds and pool.")
    return Fingerprints(
        **weights_of(settings),
        seeds=fingerprint_optional("seeds", settings.seeds),
        pool=fingerprint_pool(settings.pool, settings.pool_rules),
        references=_references_fingerprint(settings),
        ground_truth=fingerprint_optional("ground_truth", settings.ground_truth),
    )


def weights_of(settings: RunSettings) -> dict[str, str]:
    """Hashes of the models, and of what the embedding and the aesthetic head start from."""
    aesthetic, base = settings.aesthetic, settings.baselines
    return {
        "base_model": base_model_fingerprint(settings.model),
        "initializer": fingerprint_file(settings.token.initializer),
        "scorer": scorers_fingerprint(settings.scorer, settings.concept_score),
        "judge": judge_fingerprint(settings.evaluation),
        "ssl_judge": ssl_judge_fingerprint(settings.evaluation),
        "ratings": fingerprint_optional(
            "aesthetic",
            *(aesthetic.head, aesthetic.ratings, aesthetic.user_ratings, *aesthetic.negatives),
        ),
        "baselines": fingerprint_optional(
            "baselines", base.efficientnet, base.lpips, base.relic, base.tanet, base.sd_chad
        ),
        "captioner": captioner_fingerprint(settings),
        "review": review_fingerprint(settings),
    }


def _references_fingerprint(settings: RunSettings) -> str:
    """Numbers on two halves cannot be compared, however many images each has."""
    found = fingerprint_optional("references", settings.references)
    half = settings.evaluation.references_half
    return found if half == "all" else f"{found}#{half}"


def base_model_fingerprint(model: ModelSettings) -> str:
    """The base model's."""
    return fingerprint_model(model.base_model, model.revision, model.sha256, model.config)


def judge_fingerprint(settings: EvaluationSettings) -> str:
    """The judge's."""
    return fingerprint_model(settings.judge, settings.judge_pretrained, settings.judge_sha256)


def ssl_judge_fingerprint(settings: EvaluationSettings) -> str:
    """The class-blind judge's; empty where there is none."""
    if settings.ssl_judge is None:
        return ""
    return fingerprint_model(
        settings.ssl_judge, settings.ssl_judge_pretrained, settings.ssl_judge_sha256
    )


def captioner_fingerprint(settings: RunSettings) -> str:
    """What describes images without a caption; empty where nothing does."""
    own, scorer = settings.captioner, settings.scorer
    if settings.captions == "pool":
        return ""
    if own.model is None:
        return fingerprint_model(scorer.model, scorer.pretrained, scorer.sha256)
    return fingerprint_model(own.model, None, own.sha256)


def negatives_fingerprint(settings: RunSettings) -> str:
    """That of ``aesthetic.negatives``; empty where there are none."""
    return fingerprint_optional("aesthetic.negatives", *settings.aesthetic.negatives)


def review_fingerprint(settings: RunSettings) -> str:
    """That of what holds of ``selection.review``; empty where there is none."""
    review = review_of(settings)
    return "" if review is None else review.fingerprint()


def scorers_fingerprint(scorer: ScorerSettings, own: ConceptScoreSettings) -> str:
    """The scorer's fingerprint, with that of S_con's own model where it has one."""
    found = fingerprint_model(scorer.model, scorer.pretrained, scorer.sha256)
    if own.model is not None:
        found += "+" + fingerprint_model(own.model, own.pretrained, own.sha256)
    return found


def compared_by(config: Mapping[str, Any]) -> dict[str, Any]:
    """The few params of a run with sliders: MLflow writes all that a run has above each image.

    >>> compared_by({"concept": "boot", "strategy": "coti", "seed": 0, "threads": 4})
    {'concept': 'boot', 'strategy': 'coti', 'seed': 0}
    """
    return {name: config[name] for name in ALWAYS if name in config}


def params_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not at their defaults, by dotted names, and those of every comparison.

    >>> params_of({"strategy": "coti", "seed": 0, "train": {"max_steps": 9, "batch_size": 4}})
    {'strategy': 'coti', 'seed': 0, 'train.max_steps': 9, 'train.batch_size': 4}
    """
    defaults = flat(plain_values(asdict(RunSettings())))
    return {
        name: value
        for name, value in flat(plain_values(config)).items()
        if name in ALWAYS or value != defaults.get(name)
    }


def plain_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """As what a step is given: of JSON's types, so no tuples."""
    found: dict[str, Any] = json.loads(json.dumps(config))
    return found


def tags_of(settings: RunSettings, prints: Fingerprints) -> dict[str, str]:
    """Lineage: hashes of configuration, inputs and code, and the commit."""
    return {
        "coti.concept": settings.concept,
        "coti.strategy": settings.strategy,
        "coti.seed": str(settings.seed),
        "coti.config_hash": settings.fingerprint(),
        "coti.base_model": settings.model.base_model,
        **{f"coti.{name}_hash": value for name, value in asdict(prints).items()},
        "coti.code_hash": code_fingerprint(),
        "coti.git_commit": _commit(),
    }


def _commit() -> str:
    """The commit of the checkout, with ``+`` where it has changes; empty outside git."""

    def git(*words: str) -> str:
        try:
            done = subprocess.run(
                ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
            )
        except OSError:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "HEAD")
    return commit + ("+" if commit and git("status", "--porcelain", "-uno") else "")
