from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.pool.decode.decoder import Limits, decode_image
from coti.pool.dedupe import (
    embedding_representatives,
    mark_duplicates,
    mark_embedding_duplicates,
    near_representatives,
    without_embedding_duplicates,
)
from coti.pool.manifest import check_sums, to_frame
from tests.coti.pool.conftest import encoded, image

FLAT = np.zeros((64, 256), np.uint8)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.integers(0, 6), st.randoms())
def test_groups_are_stars(seeds: list[int], bits: int, random: object) -> None:
    """Members are within the distance of their representative; representatives are not of each
    other; and the banded search finds what comparing all pairs finds.
    """
    hashes = list(seeds)
    for value in seeds:  # neighbours at every distance around the limit
        flips = random.sample(range(64), min(64, bits + 1))  # type: ignore[attr-defined]
        for count in range(1, bits + 2):
            hashes.append(value ^ sum(1 << bit for bit in flips[:count]))
    found = near_representatives(hashes, np.zeros((len(hashes), 4), np.uint8), bits, 0.0)
    leaders: list[int] = []
    for row, value in enumerate(hashes):
        close = [k for k in leaders if (hashes[k] ^ value).bit_count() <= bits]
        assert found[row] == (close[0] if close else row)
        if not close:
            leaders.append(row)


def test_the_thumbnail_has_its_say() -> None:
    """Equal hashes are no duplicates where the grey levels differ."""
    thumbnails = np.array([[0] * 4, [3] * 4, [50] * 4], np.uint8)
    assert near_representatives([7, 7, 7], thumbnails, 2, 4.0) == [0, 0, 2]


def row(number: int, data: bytes, **more: object) -> dict[str, object]:
    """A manifest row of an image."""
    import hashlib

    decoded = decode_image(data, Limits(16))
    return {
        "id": f"id{number}",
        "source": f"{number}.jpg",
        "sha256": hashlib.sha256(data).hexdigest(),
        "status": "accepted",
        "width": decoded.width,
        "height": decoded.height,
        "phash": decoded.phash,
        "thumbnail": decoded.thumbnail,
        **more,
    }


def test_copies_and_variants_are_grouped_behind_the_best() -> None:
    """The largest image is kept; a re-encoded, a smaller and an equal copy name it."""
    large, other = image(1, (400, 300)), image(2, (400, 300))
    rows = [
        row(0, encoded(large.resize((200, 150)), "JPEG", quality=80)),
        row(1, encoded(large, "JPEG", quality=95)),
        row(2, encoded(other)),
        row(3, encoded(large, "JPEG", quality=70)),
        row(4, encoded(large.resize((200, 150)), "JPEG", quality=80)),
        row(5, b"".join([encoded(other)]), status="quarantined", reason="unsafe"),
    ]
    table = mark_duplicates(to_frame(rows), near_bits=4, near_difference=4.0)
    check_sums(table, 6)
    assert list(table["status"]) == ["quarantined", "accepted", "accepted"] + ["quarantined"] * 3
    assert list(table["reason"]) == [
        "near_duplicate",
        "",
        "",
        "near_duplicate",
        "duplicate",
        "unsafe",
    ]
    assert list(table["duplicate_of"]) == ["id1", "", "", "id1", "id1", ""]
    assert list(table["group"]) == ["id1", "id1", "", "id1", "id1", ""]
    assert "1.jpg" in table["detail"][0]


def test_near_duplicates_can_be_off() -> None:
    """With -1 bits only equal bytes are duplicates."""
    one = image(1, (400, 300))
    rows = [row(0, encoded(one)), row(1, encoded(one, "JPEG")), row(2, encoded(one))]
    table = mark_duplicates(to_frame(rows), near_bits=-1, near_difference=4.0)
    assert list(table["reason"]) == ["", "", "duplicate"]


def test_embedding_groups_match_all_pairs() -> None:
    """The blockwise search gives what a loop over all earlier representatives gives."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(12, 16, generator=generator)
    features = centres[torch.randint(0, 12, (90,), generator=generator)]
    features = features + 0.15 * torch.randn(90, 16, generator=generator)
    found = embedding_representatives(features, 0.97, block=16)
    unit = torch.nn.functional.normalize(features, dim=-1)
    leaders: list[int] = []
    for place in range(90):
        close = [k for k in leaders if float(unit[k] @ unit[place]) >= 0.97]
        assert found[place] == (close[0] if close else place)
        if not close:
            leaders.append(place)
    assert 12 <= len(leaders) < 90


def test_embedding_duplicates_are_marked_in_the_manifest() -> None:
    """Rows whose features agree are grouped; rows without features are left alone."""
    rows = [row(n, encoded(image(n))) for n in range(4)]
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.999, 0.01]])
    table = mark_embedding_duplicates(to_frame(rows), ["id0", "id1", "id2"], features, 0.99)
    assert list(table["reason"]) == ["", "", "near_duplicate", ""]
    assert table["duplicate_of"][2] == "id0"
    assert "embedding" in table["detail"][2]


def test_embedding_duplicates_join_the_quarantine_and_take_their_copies_along() -> None:
    """Accepted and quarantined still add up; an exact copy of what leaves names what is kept."""
    good = [row(n, encoded(image(n))) for n in range(3)]
    copy = {**row(3, encoded(image(2))), "status": "quarantined", "reason": "duplicate"}
    copy |= {"duplicate_of": "id2", "group": "id2"}
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.999, 0.01]])
    accepted, quarantined = without_embedding_duplicates(
        to_frame(good), to_frame([copy]), ["id0", "id1", "id2"], features, 0.99
    )
    assert list(accepted["id"]) == ["id0", "id1"]
    assert dict(zip(quarantined["id"], quarantined["reason"], strict=True)) == {
        "id2": "near_duplicate",
        "id3": "duplicate",
    }
    assert set(quarantined["duplicate_of"]) == {"id0"}


def test_a_crowd_with_one_hash_costs_no_more_than_its_size() -> None:
    """Thousands of images made to have one hash but different pixels: a bounded look at each."""
    import time

    count = 4_000
    thumbnails = np.random.default_rng(0).integers(0, 256, (count, 256), dtype=np.uint8)
    begun = time.process_time()
    found = near_representatives([0] * count, thumbnails, 2, 4.0)
    assert found == list(range(count))
    assert time.process_time() - begun < 60
