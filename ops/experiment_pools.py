"""The pools of an experiment: given ones as they are, the bundled world's made once."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from coti.core.errors import ConfigError, StoreError
from coti.core.whole_files import whole_folder
from ops.experiment_file import ConceptSource, ExperimentConfig, MadePools
from ops.regimes_file import PoolKey, SeedsKey
from ops.stack.locations import ROOT

__all__ = ["PoolStore", "sources_of"]

LEFT = "seed_candidates.json"
"""In a pool's folder: places of the images that it leaves over, of which seeds are drawn."""


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


@dataclass(frozen=True)
class PoolStore:
    """Folders of pools, seeds and references, each made when it is first asked for."""

    folder: Path

    def pool(self, key: PoolKey) -> Path:
        """The folder with ``pool/`` and ``ground_truth.csv``.

        Raises:
            ConfigError: the world has no such concept or recipe, or is not installed.
        """
        size = "" if key.size is None else f"-{key.size}"
        clean = "" if key.clean is None else f"-clean{100 * key.clean:g}"
        name = f"{key.recipe}-{key.seed}{size}{clean}"
        folder = self.folder / name / _file_name(key.concept)
        if not (folder / LEFT).is_file():
            builder = _builder()
            with whole_folder(folder, replace=True) as part, _as_config_error(key.concept):
                left = builder.make_pool(
                    key.concept, part, key.recipe, key.seed, key.size, key.clean, references=False
                )
                (part / LEFT).write_text(json.dumps(left), encoding="utf-8")
        return folder

    def seeds(self, pool: PoolKey, key: SeedsKey) -> Path:
        """A folder of seed images beside those of the pool, none of them in it."""
        place = self.pool(pool)
        folder = place / f"seeds-{key.kind}-{key.count}-{key.seed}"
        if not folder.is_dir():
            builder = _builder()
            try:
                left = json.loads((place / LEFT).read_text(encoding="utf-8"))
            except ValueError as error:
                raise StoreError(
                    f"{place / LEFT} is damaged: remove {place}, which is made again."
                ) from error
            with whole_folder(folder, replace=True) as part, _as_config_error(pool.concept):
                places = builder.draw_seeds(pool.concept, left, key.kind, key.count, key.seed)
                builder.write_seeds(pool.concept, places, part)
        return folder

    def references(self, concept: str) -> Path:
        """The concept's held-out references, the same for all its pools."""
        folder = self.folder / "references" / _file_name(concept)
        if not folder.is_dir():
            builder = _builder()
            with whole_folder(folder, replace=True) as part, _as_config_error(concept):
                builder.write_references(concept, part)
        return folder


def _file_name(concept: str) -> str:
    return concept.replace(" ", "_")


@contextmanager
def _as_config_error(concept: str) -> Iterator[None]:
    """What the builder says where it gives up, as an error of ours."""
    try:
        yield
    except SystemExit as error:
        raise ConfigError(f"the pool of {concept!r} can't be made: {error}.") from error


def _builder() -> ModuleType:
    """Its module: assets are no installed package, and the zenml command has no cwd."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    from assets.build import make_pool

    return make_pool


def _made(concept: str, made: MadePools) -> ConceptSource:
    data = PoolStore(ROOT / made.folder)
    pool = PoolKey(concept, made.recipe, made.seed, made.size, made.clean)
    drawn = made.seed_images
    return ConceptSource(
        concept=concept,
        seeds=str(data.seeds(pool, SeedsKey(drawn.kind, drawn.count, made.seed))),
        pool=str(data.pool(pool) / "pool"),
        references=str(data.references(concept)),
        ground_truth=str(data.pool(pool) / "ground_truth.csv"),
    )
