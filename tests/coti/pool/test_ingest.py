from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from coti.core.errors import PoolError
from coti.core.fitting import Fit
from coti.pool.chosen_images import read_chosen_images
from coti.pool.ingest import ingest
from coti.pool.manifest import COLUMNS, diff, manifest_hash, read_manifest, write_manifest
from coti.pool.pool_images import ImageWriter, PoolImages, encode_png
from coti.pool.validation import validate
from coti.settings import PoolSettings
from tests.adversary.bit_flips import flipped
from tests.coti.pool.conftest import bomb, encoded, image

PoolOf = Callable[..., Path]

MESSY: dict[str, bytes | int] = {
    "good-1.png": 1,
    "good-2.png": 2,
    "good-3.png": 3,
    "copy of 1.png": 1,
    "animated.gif": encoded(image(1), "GIF", save_all=True, append_images=[image(2)]),
    "bomb.png": bomb(),
    "cmyk.jpg": encoded(image(5).convert("CMYK"), "JPEG"),
    "empty.jpg": b"",
    "one.png": encoded(image(6, (1, 1))),
    "page.jpg": b"<html>not found</html>",
    "reserved.jpg": encoded(image(11), "JPEG", xmp=b'<rdf:Description tdm:reservation="1"/>'),
    "thin.png": encoded(image(7, (100, 20))),
    "truncated.jpg": encoded(image(8, (200, 200)), "JPEG")[:3000],
    "wrong-extension.png": encoded(image(9), "JPEG"),
    "ünï ☃.png": 10,
    "metadata.csv": (
        "file_name,text\ngood-1.png,one\n../../x.png,bad\ngone.png,gone\ngood-2.png," + "w" * 5000
    ).encode(),
}


def test_every_input_is_accepted_or_quarantined_with_its_reason(
    pool_of: PoolOf, settings: PoolSettings
) -> None:
    """A folder with each kind of broken file: the reasons are right and the rows add up."""
    ingested = ingest(str(pool_of(MESSY)), settings, 32)
    verdict = validate(ingested.manifest, settings)
    reasons = {
        row.source: row.reason
        for row in verdict.manifest.itertuples()
        if row.status == "quarantined"
    }
    assert (
        reasons
        == {
            "animated.gif": "animated",
            "bomb.png": "decompression_bomb",
            "copy of 1.png": "duplicate",
            "empty.jpg": "empty_file",
            "one.png": "too_small",
            "page.jpg": "not_an_image",
            "reserved.jpg": "opt_out",
            "thin.png": "odd_aspect",
            "truncated.jpg": "truncated",
            "metadata.csv#1": "outside_path",
            "metadata.csv#2": "missing_file",
        }
        or reasons.pop("copy of 1.png") == "duplicate"
    )
    assert len(verdict.accepted) + len(verdict.quarantined) == len(MESSY) - 1 + 2
    assert list(ingested.manifest.columns) == list(COLUMNS)
    long = verdict.manifest.set_index("source").loc["good-2.png"]
    assert (len(long["caption"]), long["caption_length"]) == (2000, 5000)
    assert long["detail"] == "caption cut"


def test_images_are_read_from_the_store_alone(
    pool_of: PoolOf, settings: PoolSettings, tmp_path: Path
) -> None:
    """After the ingestion the source may go: images come from Parquet, in the order asked."""
    root = pool_of({"a.png": 1, "b.png": 2, "c.png": 3})
    ingested = ingest(str(root), settings, 16)
    shutil.rmtree(root)
    ids = list(ingested.manifest["id"])
    ingested.pool_images.write(tmp_path / "images.parquet", ids[1:])
    images = PoolImages(tmp_path / "images.parquet")
    assert images.ids == ids[1:]
    forward, backward = images.tensor(ids[1:]), images.tensor(ids[:0:-1])
    assert forward.shape == (2, 3, 16, 16)
    assert forward.dtype == torch.uint8
    assert torch.equal(forward, backward.flip(0))
    assert images.tensor([]).shape[0] == 0
    with pytest.raises(PoolError, match="no image"):
        images.tensor([ids[0]])


class Counted(io.BytesIO):
    """A remote file that counts what travels."""

    travelled = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Some bytes, counted."""
        data = super().read(size)
        self.travelled += len(data)
        return data


def test_of_a_remote_store_only_the_images_asked_for_travel(tmp_path: Path) -> None:
    """From an open file, two images of two thousand take a fraction of it."""
    noise = np.random.default_rng(0).bytes(2_000 * 3 * 16 * 16)
    writer = ImageWriter(tmp_path / "p.parquet")
    for number in range(2_000):
        start = number * 768
        writer.add(str(number), encode_png(noise[start : start + 768], 16, 16))
    writer.close()
    remote = Counted((tmp_path / "p.parquet").read_bytes())
    images = PoolImages(remote)
    found = images.png(["3", "1999"])
    assert found == PoolImages(tmp_path / "p.parquet").png(["3", "1999"])
    assert remote.travelled < 0.7 * len(remote.getvalue())


def test_ingesting_twice_gives_the_same_manifest_anywhere(
    pool_of: PoolOf, settings: PoolSettings
) -> None:
    """Another folder, another number of workers: the same rows, ids, images and version."""
    one = ingest(str(pool_of(MESSY, "one")), settings, 32)
    two = ingest(str(pool_of(MESSY, "two")), PoolSettings(workers=1, read_threads=1), 32)
    assert one.manifest.equals(two.manifest)
    assert manifest_hash(one.manifest) == manifest_hash(two.manifest)
    assert one.pool_images.png(one.pool_images.ids) == two.pool_images.png(two.pool_images.ids)


def test_ids_are_the_contents_and_unique_for_copies(
    pool_of: PoolOf, settings: PoolSettings
) -> None:
    """A renamed image keeps its id; copies get numbers; what has no content has an id too."""
    before = ingest(str(pool_of({"a.png": 1, "b.png": 1, "c.png": b""}, "one")), settings, 16)
    after = ingest(str(pool_of({"z.png": 1}, "two")), settings, 16)
    ids = list(before.manifest["id"])
    assert list(after.manifest["id"]) == [ids[0]]
    assert ids[1] == f"{ids[0]}-2"
    assert len(set(ids)) == 3


def test_a_pool_without_a_good_row_is_one_sentence(pool_of: PoolOf, settings: PoolSettings) -> None:
    """A folder of broken files says how many there are and what is most often wrong."""
    ingested = ingest(str(pool_of({"a.jpg": b"", "b.jpg": b"<html>"})), settings, 16)
    with pytest.raises(PoolError, match=r"Only 0 of 2 inputs .* 1 are needed .*check the source"):
        validate(ingested.manifest, settings)


def test_manifests_survive_the_disk(
    pool_of: PoolOf, settings: PoolSettings, tmp_path: Path
) -> None:
    """A manifest written and read is the same; something else is refused by name."""
    manifest = ingest(str(pool_of(MESSY)), settings, 16).manifest
    write_manifest(manifest, tmp_path / "manifest.parquet")
    assert manifest_hash(read_manifest(tmp_path)) == manifest_hash(manifest)
    assert diff(read_manifest(tmp_path), manifest).same
    (tmp_path / "other.parquet").write_bytes(b"nonsense")
    with pytest.raises(PoolError, match=r"other\.parquet.*not a manifest"):
        read_manifest(tmp_path / "other.parquet")


def test_seeds_are_read_in_order(pool_of: PoolOf) -> None:
    """Seeds come by name as uint8 [n, 3, r, r]; notes beside them are passed over."""
    ids, names, images = read_chosen_images(
        pool_of({"b.png": 2, "a.jpg": 1, "notes.txt": b"x"}), 16, Fit()
    )
    assert images.shape == (2, 3, 16, 16)
    assert images.dtype == torch.uint8
    assert len(set(ids)) == 2
    assert names == ["a.jpg", "b.png"]


def test_a_seed_that_is_no_image_is_named(pool_of: PoolOf, tmp_path: Path) -> None:
    """A broken seed, an empty folder and a missing one each give one sentence naming it."""
    root = pool_of({"good.png": 1, "bad.jpg": b"<html>oops</html>"})
    with pytest.raises(PoolError, match=r"bad\.jpg cannot be read as an image .*an HTML page"):
        read_chosen_images(root, 16, Fit())
    with pytest.raises(PoolError, match="none is no folder"):
        read_chosen_images(tmp_path / "none", 16, Fit())
    (tmp_path / "void").mkdir()
    with pytest.raises(PoolError, match="void holds no image"):
        read_chosen_images(tmp_path / "void", 16, Fit())


def test_an_image_with_a_flipped_bit_is_not_given(tmp_path: Path) -> None:
    """Wherever it is in the file: it is said, or it is where nothing is read from."""
    path = tmp_path / "p.parquet"
    writer = ImageWriter(path)
    for number in range(3):
        writer.add(str(number), encoded(image(number, (32, 32))))
    writer.close()
    whole, content = PoolImages(path), path.read_bytes()
    said = 0
    for seed in range(150):
        path.write_bytes(flipped(content, seed))
        try:
            found = PoolImages(path)
            if (found.ids, found.hashes) == (
                whole.ids,
                whole.hashes,
            ):  # as the artifact's hash says
                assert found.png(whole.ids) == PoolImages(io.BytesIO(content)).png(whole.ids)
        except PoolError:
            said += 1
    assert said > 130
