"""What a run is made of: hashes of its inputs, and what MLflow and the registry say of it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any

from coti.core.errors import ConfigError
from coti.settings import ConceptScoreSettings, ScorerSettings
from ops.run_file import CotiConfig
from ops.stack.cache_policy import code_fingerprint
from ops.stack.input_hashes import (
    fingerprint_file,
    fingerprint_model,
    fingerprint_optional,
    fingerprint_pool,
)
from ops.stack.locations import ROOT

__all__ = ["Fingerprints", "fingerprints_of", "params_of", "scorers_fingerprint", "tags_of"]


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
    ratings: str


def fingerprints_of(config: CotiConfig) -> Fingerprints:
    """Hash all inputs; a missing one is named here, before the first step runs."""
    if config.concept.strip() == "":
        raise ConfigError("concept is empty: give the concept's name.")
    aesthetic = config.aesthetic
    return Fingerprints(
        base_model=fingerprint_model(
            config.model.base_model,
            config.model.revision,
            config.model.sha256,
            config.model.config,
        ),
        initializer=fingerprint_file(config.token.initializer),
        scorer=scorers_fingerprint(config.scorer, config.concept_score),
        judge=fingerprint_model(
            config.evaluation.judge,
            config.evaluation.judge_pretrained,
            config.evaluation.judge_sha256,
        ),
        seeds=fingerprint_optional("seeds", config.seeds),
        pool=fingerprint_pool(config.pool, config.pool_rules),
        references=fingerprint_optional("references", config.references),
        ground_truth=fingerprint_optional("ground_truth", config.ground_truth),
        ratings=fingerprint_optional(
            "aesthetic", aesthetic.head, aesthetic.ratings, aesthetic.user_ratings
        ),
    )


def scorers_fingerprint(scorer: ScorerSettings, own: ConceptScoreSettings) -> str:
    """The scorer's fingerprint, with that of S_con's own model where it has one."""
    found = fingerprint_model(scorer.model, scorer.pretrained, scorer.sha256)
    if own.model is not None:
        found += "+" + fingerprint_model(own.model, own.pretrained, own.sha256)
    return found


def params_of(config: CotiConfig) -> dict[str, Any]:
    """Every setting by its dotted name, for MLflow's comparison of runs."""
    flat: dict[str, Any] = {}
    for key, value in config.model_dump(mode="json").items():
        if isinstance(value, dict):
            flat.update({f"{key}.{name}": each for name, each in value.items()})
        else:
            flat[key] = value
    return flat


def tags_of(config: CotiConfig, prints: Fingerprints) -> dict[str, str]:
    """Lineage: hashes of configuration, inputs and code, and the commit."""
    return {
        "coti.concept": config.concept,
        "coti.strategy": config.strategy,
        "coti.seed": str(config.seed),
        "coti.config_hash": config.fingerprint(),
        "coti.base_model": config.model.base_model,
        "coti.base_model_hash": prints.base_model,
        "coti.pool_hash": prints.pool,
        "coti.seeds_hash": prints.seeds,
        "coti.references_hash": prints.references,
        "coti.scorer_hash": prints.scorer,
        "coti.judge_hash": prints.judge,
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
