"""``coti.curate``: which images of a pool show the concept, with no base model and no training."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coti.api.given import (
    NEVER_JUDGED,
    ImagesOrFolder,
    PoolLike,
    pool_of,
    seeds_of,
    settings_of,
)
from coti.core.checkout import find_file
from coti.core.errors import PoolError
from coti.core.threads import processor_threads
from coti.core.whole_files import whole_folder
from coti.loop.facts import pool_facts
from coti.loop.learn import selected_at_once
from coti.loop.load_models import load_encoders, load_reference_judge, loader
from coti.loop.plan import effective, strategy_of
from coti.loop.training_set import TrainingSet
from coti.loop.verdict import Verdict, verdict_of
from coti.pool.concept_data import judged_pool, with_seeds
from coti.pool.entry import Entry, PoolSource
from coti.pool.manifest import ACCEPTED
from coti.pool.open_source import open_source
from coti.pool.reasons import Rejected
from coti.selection import PoolView
from coti.selection.outcomes import held_back, outcome
from coti.settings import RunSettings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Curation", "curate"]

_REFUSED = {
    **NEVER_JUDGED,
    "token": "no word is learned here: coti.learn takes it",
    "growth": "all is picked in one pass",
    "baseline_images": "count= says how many images to choose",
}
_SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif"}


@dataclass(frozen=True)
class Curation:
    """Which images of a pool to learn a concept from, and why the other ones not."""

    table: pd.DataFrame
    """A row an input of the pool: the picked ones best first, the other ones by score, then what
    could not be used. Columns: ``order`` (1 is the best; missing where it was not picked),
    ``name``, ``place`` (in the pool as it was given, from 0), ``score`` (what the strategy ranks
    by), ``s_aes`` and ``s_con`` (Eq. 7 and 8, 0 to 10), ``reason``, ``caption``, ``format``,
    ``sha256``."""
    verdict: Verdict
    """What speaks against learning from them: as :func:`coti.check`, without the base model."""
    source: PoolSource = field(repr=False)
    """What the pool was read from."""

    @property
    def picked(self) -> pd.DataFrame:
        """The rows of what was picked, best first."""
        return self.table[self.table["order"].notna()]

    @property
    def names(self) -> list[str]:
        """Names of what was picked, best first."""
        return [str(name) for name in self.picked["name"]]

    @property
    def places(self) -> list[int]:
        """Their places in the pool, from 0: ``[pool[place] for place in curation.places]``."""
        return [int(place) for place in self.picked["place"]]

    def save(self, folder: str | Path) -> Path:
        """Write the picked images as they were found, and ``curation.csv``; whole or not at all.

        They are numbered, best first; a caption lies beside its image as a text file, as trainers
        of other adapters look for it.

        Raises:
            StoreError: ``folder`` holds something already.
            PoolError: a picked image has changed or gone since.
        """
        path = Path(folder)
        rows = {str(row["name"]): row for row in self.picked.to_dict("records")}
        with whole_folder(path) as part:
            for entry in self.source.entries():
                row = rows.pop(entry.name, None)
                if row is None:
                    continue
                stem = f"{int(row['order']):04d}"
                kind = str(row["format"])
                suffix = _SUFFIXES.get(kind, f".{kind.lower()}")
                (part / f"{stem}{suffix}").write_bytes(_as_judged(entry, str(row["sha256"])))
                if row["caption"]:
                    (part / f"{stem}.txt").write_text(str(row["caption"]), encoding="utf-8")
            if rows:
                raise _changed(next(iter(rows)), "is gone")
            self.table.to_csv(part / "curation.csv", index=False)
        return path


def curate(
    seeds: ImagesOrFolder,
    pool: PoolLike,
    *,
    concept: str,
    count: int | None = None,
    preset: str | None = None,
    settings: RunSettings | None = None,
    **keys: Any,
) -> Curation:
    """Choose the images of a pool that show a concept and look good, in one pass.

    Neither a base model nor training has a part in it: the choice is for whatever trainer. It is
    the first one of a run without cycles, of the same scores and strategy.

    Args:
        seeds: some ten good images of the concept: a folder, or Pillow images.
        pool: many images, some of which may show it: a list, or whatever ``pool`` is in a run file.
        concept: its name; the scorer is asked for it by words.
        count: most images to choose, 150 unless given (or ``baseline_images`` of ``settings``);
            fewer of a pool that has fewer.
        preset: whose scorers: ``sd15``, where none is given, is for photographs (``sd2`` and
            ``sdxl`` have the same), ``bundled`` for 32×32 images of Fashion-MNIST.
        settings: a whole configuration in place of preset and keys.
        keys: of a run file: ``seed=1``, ``strategy="filtered"``,
            ``selection={"aesthetic_gate": 5}``. What is no part of this is refused: as of
            :func:`coti.learn`, and ``references``, ``token``, ``growth``, ``baseline_images``.

    Raises:
        CotiError: settings, images and models that don't go together; says what to do.

    >>> from PIL import Image
    >>> boots = Path("assets/pools/ankle_boot")
    >>> pool = [Image.open(path) for path in sorted(boots.glob("pool/*.png"))[:20]]
    >>> found = curate(boots / "seeds", pool, concept="ankle boot", count=5, preset="bundled")
    >>> found.names == [Path(pool[place].filename).name for place in found.places]
    True
    >>> found.table["reason"].value_counts().to_dict()
    {'rather something else': 12, 'picked': 5, 'passed, not drawn': 3}
    """
    if settings is None and preset is None:
        preset = "sd15"
    run = settings_of("coti.curate", preset, settings, keys, concept=concept, refused=_REFUSED)
    count = run.baseline_images if count is None else count
    run = effective(replace(run, growth="at_once", baseline_images=count))
    given = pool_of(pool)
    source = open_source(given, run.pool_rules) if isinstance(given, str) else given
    with processor_threads(run.threads):
        encoders = load_encoders(run, loader(find_file))
        side, fit = encoders.scorer.input_size, run.images.rule
        beside = seeds_of(seeds, side, fit)
        accepted, manifest = judged_pool(source, encoders, run.pool_rules, side, fit)
        data = with_seeds(accepted, beside, encoders, run)
    state, view = selected_at_once(encoders, data, run, partial(load_reference_judge, run))
    assert state.head is not None
    facts = pool_facts(
        data.features,
        state.head.score(data.features["pool"]),
        state.head.score(data.features["seeds"]),
        run.selection.aesthetic_gate,
        count,
    )
    table = _table(manifest, data.features.strings("pool_ids"), state.training_set, view)
    return Curation(table, verdict_of(facts), source)


def _as_judged(entry: Entry, sha256: str) -> bytes:
    """What was scored: the entry's bytes, if they are still these."""
    if entry.read is None:
        raise _changed(entry.name, f"cannot be read ({entry.reason})")
    try:
        data = entry.read()
    except Rejected as refused:
        raise _changed(entry.name, f"cannot be read ({refused.reason})") from refused
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _changed(entry.name, "is another file")
    return data


def _changed(name: str, how: str) -> PoolError:
    return PoolError(f"pool: {name} {how} since it was picked: curate again; nothing is saved.")


def _table(
    manifest: pd.DataFrame, ids: list[str], training_set: TrainingSet, view: PoolView | None
) -> pd.DataFrame:
    """``view`` is the pool as the strategy saw it, none where it takes nothing from there."""
    import pandas as pd

    scores = pd.DataFrame(index=pd.Index(ids, dtype="string"))
    for name in ("score", "s_aes", "s_con"):
        scores[name] = math.nan if view is None else view.columns[name].tolist()
    gates = {} if view is None else strategy_of(view.settings).gates(view)
    scores["held"] = held_back(gates, len(ids))
    picked = {name: place for place, name in enumerate(training_set.selected, start=1)}
    known = manifest[["source", "caption", "format", "sha256", "id"]]
    table = known.rename(columns={"source": "name"}).join(scores, on="id")
    table["place"] = range(len(table))
    table["order"] = table["id"].map(picked).astype("Int64")
    unusable = manifest["status"] != ACCEPTED
    details = (manifest["reason"] + ": " + manifest["detail"]).str.strip(": ")
    told = zip(table["held"].fillna(""), table["order"].notna(), strict=True)
    table["reason"] = [outcome(held, picked)[1] for held, picked in told]
    table.loc[unusable, "reason"] = "unusable (" + details[unusable] + ")"
    table = table.sort_values(["order", "score"], ascending=[True, False], kind="stable")
    scored = ["score", "s_aes", "s_con", "reason"]
    columns = ["order", "name", "place", *scored, "caption", "format", "sha256"]
    return table[columns].reset_index(drop=True)
