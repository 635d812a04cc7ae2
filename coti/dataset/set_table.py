"""A pool's manifest with what a selection made of each row: the table of a set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from coti.dataset.chosen_set import SET_COLUMNS, addresses
from coti.encoders.captioners import Captioner
from coti.loop.inputs import Images
from coti.loop.missing_captions import with_missing
from coti.pool.manifest import ACCEPTED, COLUMNS
from coti.selection.outcomes import outcome

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["captioned", "set_table", "table_of_run"]

_SCORED = ("score", "s_aes", "s_con")


def set_table(
    manifest: pd.DataFrame,  # of all inputs, in the pool's order
    pool: str,  # its place, as it was named
    scores: pd.DataFrame,  # a row an accepted image: id, held_back, and of score, s_aes, s_con
    picked: Mapping[str, int],  # id to the cycle that picked it, the best first
) -> pd.DataFrame:
    """:data:`coti.dataset.chosen_set.SET_COLUMNS` beside the manifest's, and each row's ``place``
    in the pool, from 0: what was picked first, then by score, then what could not be used."""
    import pandas as pd

    known = scores.set_index("id")
    table = manifest.copy(deep=False)
    for name in _SCORED:
        column = known[name] if name in known else pd.Series(dtype="float64")
        table[name] = manifest["id"].map(column).astype("float64")
    order = {name: number for number, name in enumerate(picked, start=1)}
    table["place"] = range(len(table))
    table["order"] = manifest["id"].map(order).fillna(0).astype("int64")
    table["cycle"] = manifest["id"].map(dict(picked)).fillna(0).astype("int64")
    held = dict(zip(scores["id"], scores["held_back"], strict=True))
    told = zip((held.get(name, "") for name in manifest["id"]), table["order"] > 0, strict=True)
    table["why"] = [outcome(held, chosen)[1] for held, chosen in told]
    unusable = manifest["status"] != ACCEPTED
    details = (manifest["reason"] + ": " + manifest["detail"]).str.strip(": ")
    table.loc[unusable, "why"] = "unusable (" + details[unusable] + ")"
    table["address"] = pd.Series(addresses(pool, manifest), index=table.index, dtype="str")
    table = table.assign(image="", mask_image="")[[*COLUMNS, *SET_COLUMNS, "place"]]
    best_first = table["order"].where(table["order"] > 0, len(table) + 1)
    ordered = table.assign(best_first=best_first).sort_values(
        ["best_first", "score"], ascending=[True, False], kind="stable", ignore_index=True
    )
    return ordered.drop(columns="best_first")


def table_of_run(
    manifest: pd.DataFrame,
    pool: str,
    scores: Sequence[pd.DataFrame],  # the pool's of each cycle that selected
    picked: Sequence[pd.DataFrame],  # of these what joined X_T
    first_cycle: int,  # that selected
    kept_cycle: int,  # whose X_T is meant
) -> pd.DataFrame:
    """:func:`set_table` of a run: X_T of the kept cycle, each image with the scores by which it was
    picked, the other ones with the last."""
    import pandas as pd

    until = max(0, kept_cycle - first_cycle + 1)
    joined = picked[:until]
    cycles = {
        str(name): first_cycle + number for number, rows in enumerate(joined) for name in rows["id"]
    }
    last = scores[:until][-1:] or [pd.DataFrame({"id": [], "held_back": []}, dtype="str")]
    rows = pd.concat([*joined, *last], ignore_index=True).drop_duplicates("id")
    return set_table(manifest, pool, rows, cycles)


def captioned(
    table: pd.DataFrame, images: Images, template: str, captioner: Captioner | None
) -> pd.DataFrame:
    """The table with captions for what was picked and has none
    (:func:`coti.loop.missing_captions.with_missing`)."""
    picked = table["order"] > 0
    ids = table["id"].astype(str)
    captions = dict(zip(ids[picked], table["caption"][picked].astype(str), strict=True))
    found = with_missing(captions, list(captions), images, captioner, template)
    return table.assign(caption=table["caption"].mask(picked, ids.map(found)))
