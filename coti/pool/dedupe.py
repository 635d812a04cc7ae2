"""Duplicates as groups: one representative is kept, and every other member names it.

Groups are stars, not chains: each member is close to its representative itself, so that a row of
small steps can't tie strangers together, and no two representatives are close to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from coti.pool.manifest import ACCEPTED, QUARANTINED, check_sums

if TYPE_CHECKING:
    import pandas as pd
    import torch

__all__ = [
    "embedding_representatives",
    "mark_duplicates",
    "mark_embedding_duplicates",
    "near_representatives",
    "without_embedding_duplicates",
]


_CROWD = 256
"""Representatives with one band of the hash in common that an image is compared with."""


def mark_duplicates(
    manifest: pd.DataFrame, *, near_bits: int, near_difference: float
) -> pd.DataFrame:
    """A copy of the manifest with accepted duplicates in quarantine and groups filled in.

    Exact duplicates have the same sha256; near ones differ in at most ``near_bits`` of 64 bits
    of perceptual hash (-1: off) and in at most ``near_difference`` mean grey levels on the
    thumbnail. The representative has the most pixels, then the longest caption, then comes first.
    """
    order = _preference(manifest)
    first: dict[str, int] = {}
    exact = {row: first.setdefault(str(manifest["sha256"].iat[row]), row) for row in order}
    manifest = _mark(manifest, exact, "duplicate", "same bytes")
    order = [row for row in order if exact[row] == row and manifest["thumbnail"].iat[row]]
    if near_bits < 0 or not order:
        return manifest
    hashes = [int(str(manifest["phash"].iat[row]) or "0", 16) for row in order]
    thumbnails = np.stack([_thumbnail(str(manifest["thumbnail"].iat[row])) for row in order])
    places = near_representatives(hashes, thumbnails, near_bits, near_difference)
    near = {order[i]: order[place] for i, place in enumerate(places)}
    return _mark(manifest, near, "near_duplicate", "perceptual hash")


def near_representatives(
    hashes: Sequence[int],
    thumbnails: npt.NDArray[np.uint8],
    bits: int,
    difference: float,
) -> list[int]:
    """For each image, most preferred first, the index of its representative (maybe itself).

    ``hashes`` are 64-bit, ``thumbnails`` uint8 [n, p]. Of bits + 1 bands of the hash at least one
    is equal where at most ``bits`` differ, so only representatives that share a band are looked
    at, and of one band no more than the first :data:`_CROWD`: linear in n, also for a pool of
    images that were made to have one hash.
    """
    edges = [round(64 * i / (bits + 1)) for i in range(bits + 2)]
    bands = [(low, (1 << (high - low)) - 1) for low, high in pairwise(edges)]
    index: list[dict[int, list[int]]] = [{} for _ in bands]
    grey = thumbnails.astype(np.int16)
    result: list[int] = []
    for row, value in enumerate(hashes):
        keys = [value >> shift & mask for shift, mask in bands]
        near = {
            leader
            for bucket, key in zip(index, keys, strict=True)
            for leader in bucket.get(key, ())
            if (hashes[leader] ^ value).bit_count() <= bits
        }
        found = row
        if near:
            leaders = np.array(sorted(near))
            alike = np.abs(grey[leaders] - grey[row]).mean(axis=1) <= difference
            found = int(leaders[alike.argmax()]) if alike.any() else row
        result.append(found)
        if found == row:
            for bucket, key in zip(index, keys, strict=True):
                crowd = bucket.setdefault(key, [])
                if len(crowd) < _CROWD:
                    crowd.append(row)
    return result


def mark_embedding_duplicates(
    manifest: pd.DataFrame, ids: Sequence[str], features: torch.Tensor, cosine: float
) -> pd.DataFrame:
    """Like :func:`mark_duplicates`, by features [n, d] of the accepted rows ``ids``."""
    places = {identity: row for row, identity in enumerate(manifest["id"])}
    given = {places[identity]: i for i, identity in enumerate(ids)}
    order = [row for row in _preference(manifest) if row in given]
    import torch

    chosen = features[torch.tensor([given[row] for row in order], dtype=torch.long)]
    representatives = embedding_representatives(chosen, cosine)
    marks = {order[i]: order[place] for i, place in enumerate(representatives)}
    return _mark(manifest, marks, "near_duplicate", f"embedding, cosine {cosine:g} or more")


def without_embedding_duplicates(
    accepted: pd.DataFrame,
    quarantined: pd.DataFrame,
    ids: Sequence[str],
    features: torch.Tensor,
    cosine: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accepted and quarantined rows after :func:`mark_embedding_duplicates`; they still add up."""
    import pandas as pd

    rows = pd.concat([accepted, quarantined], ignore_index=True)
    marked = mark_embedding_duplicates(rows, ids, features, cosine)
    check_sums(marked, len(accepted) + len(quarantined))
    good = marked["status"] == ACCEPTED
    return marked[good].reset_index(drop=True), marked[~good].reset_index(drop=True)


def embedding_representatives(
    features: torch.Tensor, cosine: float, *, block: int = 2048
) -> list[int]:
    """For each row of features [n, d], most preferred first, the index of its representative.

    A row joins the first representative whose cosine is at least ``cosine``. The cost is n times
    the number of representatives: meant for pools up to some 100,000 images.
    """
    import torch

    unit = torch.nn.functional.normalize(features.float(), dim=-1)
    result = list(range(len(unit)))
    leaders = torch.empty(0, dtype=torch.long)
    for start in range(0, len(unit), block):
        rows = unit[start : start + block]
        among = (rows @ rows.T).numpy() >= cosine
        if len(leaders):
            near = rows @ unit[leaders].T >= cosine
            hit = near.any(dim=1)
            first = leaders[near.to(torch.uint8).argmax(dim=1)]
        fresh: list[int] = []
        for i in range(len(rows)):
            if len(leaders) and hit[i]:
                result[start + i] = int(first[i])
                continue
            own = next((j for j in fresh if among[i, j]), i)
            result[start + i] = start + own
            if own == i:
                fresh.append(i)
        leaders = torch.cat([leaders, torch.tensor(fresh, dtype=torch.long) + start])
    return result


def _preference(manifest: pd.DataFrame) -> list[int]:
    """Accepted rows: most pixels, longest caption, first."""
    rows = np.flatnonzero((manifest["status"] == ACCEPTED).to_numpy())
    pixels = (manifest["width"] * manifest["height"]).to_numpy()[rows]
    captions = manifest["caption_length"].to_numpy()[rows]
    return [int(row) for row in rows[np.lexsort((rows, -captions, -pixels))]]


def _mark(
    manifest: pd.DataFrame, representative: dict[int, int], reason: str, detail: str
) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {
        name: manifest[name].tolist()
        for name in ("status", "reason", "detail", "group", "duplicate_of", "id", "source")
    }
    for row, kept in representative.items():
        if row == kept:
            continue
        identity = columns["id"][kept]
        columns["status"][row], columns["reason"][row] = QUARANTINED, reason
        columns["detail"][row] = f"{detail} as {columns['source'][kept]}"
        columns["duplicate_of"][row] = identity
        columns["group"][row] = columns["group"][kept] = identity
    # a near duplicate's own exact copies follow it to the representative that is kept
    kept_of = dict(zip(columns["id"], columns["duplicate_of"], strict=True))
    for row, identity in enumerate(columns["duplicate_of"]):
        if identity and kept_of[identity]:
            columns["duplicate_of"][row] = columns["group"][row] = kept_of[identity]
    del columns["id"], columns["source"]
    return manifest.assign(**columns)


def _thumbnail(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
