"""The pools of an experiment: given ones as they are, the bundled world's made once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from coti.core.errors import ConfigError
from coti.core.whole_files import whole_folder
from ops.experiment_file import ConceptSource, ExperimentConfig, MadePools
from ops.stack.locations import ROOT

__all__ = ["sources_of"]


def sources_of(config: ExperimentConfig) -> dict[str, ConceptSource]:
    """Where each concept's images are; makes the pools that are not there yet.

    Raises:
        ConfigError: the world has no such concept or recipe, or its images are not installed.
    """
    found = {}
    for entry in config.concepts:
        if isinstance(entry, ConceptSource):
            found[entry.concept] = entry
        else:
            found[entry] = _made(entry, config.made_pools)
    return found


def _made(concept: str, recipe: MadePools) -> ConceptSource:
    size = "" if recipe.size is None else f"-{recipe.size}"
    name = f"{recipe.recipe}-{recipe.seed}{size}/{concept.replace(' ', '_')}"
    folder = ROOT / recipe.folder / name
    if not _is_that(folder, concept, recipe):
        _make(concept, folder, recipe)
    place = f"{recipe.folder}/{name}"
    return ConceptSource(
        concept=concept,
        seeds=str(ROOT / place / "seeds"),
        pool=str(ROOT / place / "pool"),
        references=str(ROOT / place / "references"),
        ground_truth=str(ROOT / place / "ground_truth.csv"),
    )


def _is_that(folder: Path, concept: str, recipe: MadePools) -> bool:
    about = folder / "recipe.json"
    if not about.is_file():
        return False
    known = json.loads(about.read_text(encoding="utf-8"))
    wanted = {"concept": concept, "recipe_name": recipe.recipe, "seed": recipe.seed}
    return all(known.get(key) == value for key, value in wanted.items())


def _make(concept: str, folder: Path, recipe: MadePools) -> None:
    """Made beside and renamed when whole: an interrupted one is never taken for a pool."""
    if str(ROOT) not in sys.path:  # assets are no installed package; the zenml command has no cwd
        sys.path.append(str(ROOT))
    from assets.build.make_pool import make_pool

    with whole_folder(folder, replace=True) as part:
        try:
            make_pool(concept, part, recipe.recipe, recipe.seed, recipe.size)
        except SystemExit as error:
            raise ConfigError(f"the pool of {concept!r} can't be made: {error}.") from error
