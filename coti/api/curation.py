"""``coti.curate``: which images of a pool show the concept, with no base model and no training."""

from __future__ import annotations

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
from coti.core.shown_names import printable
from coti.core.threads import processor_threads
from coti.core.whole_files import refuse_foreign, whole_folder
from coti.dataset.chosen_set import SET_COLUMNS, ChosenSet, write_set
from coti.dataset.set_table import captioned, set_table
from coti.loop.facts import pool_facts
from coti.loop.learn import selected_at_once
from coti.loop.load_models import load_encoders, load_reference_judge, loader
from coti.loop.missing_captions import load_captioner
from coti.loop.plan import effective, strategy_of
from coti.loop.reviewed import gates_of
from coti.loop.training_set import TrainingSet
from coti.loop.verdict import Verdict, verdict_of
from coti.pool.concept_data import JudgedPool, judged_pool, with_seeds
from coti.pool.manifest import COLUMNS, recaptioned
from coti.pool.originals import originals
from coti.pool.selection_page import render_selection
from coti.selection import PoolView
from coti.selection.outcomes import held_back
from coti.settings import RunSettings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Curation", "curate"]

_SCORES = ("score", "s_aes", "s_con")
_REFUSED = {
    **NEVER_JUDGED,
    "token": "no word is learned here: coti.learn takes it",
    "growth": "all is picked in one pass",
    "baseline_images": "count= says how many images to choose",
}


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
    pool: JudgedPool = field(repr=False)
    """What the pool was read from, and its images."""
    chosen: ChosenSet = field(repr=False)
    """All that is known of every input; what :meth:`save` writes."""

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
        """Write the picked images as they were found, and why each input is in or not; whole or not
        at all.

        In ``images/`` they are numbered, best first, a caption beside its image as a text file;
        ``manifest.parquet`` and ``curation.csv`` have a row an input, ``report.html`` shows them.
        ``coti dataset export`` makes of the folder what a trainer takes.

        Raises:
            StoreError: ``folder`` holds something already.
            PoolError: a picked image has changed or gone since.
        """
        path = Path(folder)
        refuse_foreign(path, replace=False)
        picked = self.chosen.chosen
        page = render_selection(
            self.chosen.concept,
            printable(self.chosen.pool or self.chosen.kind),
            self.chosen.table,
            self.pool.images,
            self.verdict,
            self.chosen.strategy,
            self.pool.notes,
        )
        with whole_folder(path) as part:
            write_set(part, self.chosen, originals(self.pool.source, picked))
            self.table.to_csv(part / "curation.csv", index=False)
            (part / "report.html").write_text(page, encoding="utf-8")
        return path


def curate(
    seeds: ImagesOrFolder,
    pool: PoolLike,
    *,
    concept: str,
    count: int | None = None,
    preset: str | None = None,
    settings: RunSettings | None = None,
    cache: str | Path | None = None,
    review: str | Path | None = None,
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
        cache: folder that keeps what was read and computed of the pool, so that the next call goes
            on where a killed one was; for a place that is named, not for a list of images.
        review: a set of this pool that people reviewed (``coti review``), or its folder
            ``review``: dropped images are never picked, kept ones before all others, ratings teach
            the score of looks, captions stand in place of the pool's.
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
    if review is not None:
        run = replace(run, selection=replace(run.selection, review=find_file(str(review))))
    run = effective(replace(run, growth="at_once", baseline_images=count))
    given = pool_of(pool)
    keep = Path(cache) if cache is not None and isinstance(given, str) else None
    with processor_threads(run.threads):
        encoders = load_encoders(run, loader(find_file))
        side, fit = encoders.scorer.input_size, run.images.rule
        beside = seeds_of(seeds, side, fit)
        judged = judged_pool(given, encoders, run.pool_rules, side, fit, keep)
        data = with_seeds(judged.accepted, beside, encoders, run)
    state, view = selected_at_once(encoders, data, run, partial(load_reference_judge, run))
    assert state.head is not None
    facts = pool_facts(
        data.features,
        state.head.score(data.features["pool"]),
        state.head.score(data.features["seeds"]),
        run.selection.aesthetic_gate,
        count,
    )
    place = given if isinstance(given, str) else ""
    if data.reviewed is not None:
        judged = replace(judged, manifest=recaptioned(judged.manifest, data.reviewed.captions))
    rows = _rows(judged, place, data.features.strings("pool_ids"), state.training_set, view)
    with processor_threads(run.threads):
        captioner = load_captioner(run, encoders.scorer)
        rows = captioned(rows, judged.images, run.captioner.template, captioner)
    verdict = verdict_of(facts)
    chosen = ChosenSet(
        concept,
        place,
        judged.kind,
        run.pool_rules,
        run.strategy,
        rows[[*COLUMNS, *SET_COLUMNS]],
        verdict,
    )
    return Curation(_table(rows), verdict, judged, chosen)


def _rows(
    judged: JudgedPool, place: str, ids: list[str], training_set: TrainingSet, view: PoolView | None
) -> pd.DataFrame:
    """The table of the set. ``view`` is the pool as the strategy saw it; none where it takes
    nothing from there."""
    import pandas as pd

    gates = {} if view is None else gates_of(strategy_of(view.settings), view)
    scores = {} if view is None else {name: view.columns[name].numpy() for name in _SCORES}
    known = pd.DataFrame({"id": ids, "held_back": held_back(gates, len(ids)), **scores})
    picked = dict.fromkeys(training_set.selected, 0)
    return set_table(judged.manifest, place, known, picked)


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    """What a person reads of them."""
    order = rows["order"].astype("Int64").where(rows["order"] > 0)
    scored = ["score", "s_aes", "s_con", "why"]
    columns = ["order", "source", "place", *scored, "caption", "format", "sha256"]
    shown = rows.assign(order=order)[columns]
    return shown.rename(columns={"source": "name", "why": "reason"})
