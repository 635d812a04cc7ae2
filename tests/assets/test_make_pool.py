"""The pool maker: the recipe is kept, nothing leaks, the same arguments give the same bytes."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from assets.build import world
from assets.build.degrade import ALTERATIONS, FAULTS
from assets.build.make_pool import (
    LOOK_ALIKES,
    RECIPES,
    SEED_CANDIDATES,
    GroundTruthRow,
    Recipe,
    clean_images,
    draw_seeds,
    make_pool,
    read_ground_truth,
    write_seeds,
)
from assets.build.pool_defects import DEFECTS, METADATA_DEFECTS

SHIPPED = Path(__file__).parents[2] / "assets" / "pools" / "ankle_boot"

needs_world = pytest.mark.skipif(
    not (
        Path(os.environ.get(world.FOLDER_VARIABLE, world.DEBIAN_FOLDER))
        / "train-images-idx3-ubyte.gz"
    ).is_file(),
    reason=f"Fashion-MNIST is not here (Debian: dataset-fashion-mnist, or {world.FOLDER_VARIABLE})",
)


def _hashes(folder: Path) -> dict[str, str]:
    """Path inside the folder -> SHA-256, for every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _metadata(folder: Path) -> list[dict[str, str]]:
    with (folder / "pool" / "metadata.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _grey(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("L")).astype(int)


def test_shipped_pool_keeps_the_recipe() -> None:
    """The committed ankle boot pool has 1,000 images in the shares of the default recipe."""
    kinds = Counter(ground_truth.kind for ground_truth in read_ground_truth(SHIPPED))
    broken = kinds.pop("broken")
    assert dict(kinds) == {
        "clean": 450,
        "degraded": 150,
        "lookalike": 240,
        "other": 130,
        "duplicate": 30,
    }
    assert broken == len(DEFECTS) + len(METADATA_DEFECTS) >= 12


def test_shipped_files_and_ground_truth_agree() -> None:
    """Every file of the pool has one row of its own, and every row but three names a file."""
    files = {path.name for path in (SHIPPED / "pool").iterdir()} - {"metadata.csv"}
    names = [ground_truth.file_name for ground_truth in read_ground_truth(SHIPPED)]
    assert len(names) == len(set(names))
    assert set(names) - files == set(METADATA_DEFECTS.values())
    assert files <= set(names)
    listed = {row["file_name"] for row in _metadata(SHIPPED)}
    unlisted = {t.file_name for t in read_ground_truth(SHIPPED) if t.defect == "no_metadata_row"}
    assert set(names) - listed == unlisted
    assert not (SHIPPED / "pool" / "ground_truth.csv").exists()


def test_shipped_images_can_be_read() -> None:
    """All images that are not broken decode to 32 by 32, seeds and references too."""
    paths = [
        SHIPPED / "pool" / t.file_name for t in read_ground_truth(SHIPPED) if t.kind != "broken"
    ]
    seeds, references = (
        sorted((SHIPPED / "seeds").iterdir()),
        list((SHIPPED / "references").iterdir()),
    )
    assert len(seeds) == 10
    assert len(references) == 1000
    for path in [*paths, *seeds, *references]:
        assert _grey(path).shape == (32, 32)


def test_names_and_captions_do_not_tell() -> None:
    """File names are random, and captions mention the concept as often for look-alikes."""
    ground_truth = {row.file_name: row for row in read_ground_truth(SHIPPED)}
    for name, row in ground_truth.items():
        if row.kind != "broken":
            assert re.fullmatch(r"[0-9a-f]{12}\.(png|jpg|jpeg|JPG|webp)", name)
    told: dict[str, list[bool]] = {"clean": [], "lookalike": []}
    for caption in _metadata(SHIPPED):
        kind = ground_truth[caption["file_name"]].kind
        if kind in told:
            told[kind].append("ankle boot" in caption["text"].lower())
    shares = {kind: float(np.mean(values)) for kind, values in told.items()}
    assert abs(shares["clean"] - shares["lookalike"]) < 0.1
    assert shares["lookalike"] > 0.4


def test_exact_duplicates_are_exact() -> None:
    """Half of the duplicates repeat their original byte for byte, half nearly."""
    pool = SHIPPED / "pool"
    rows = [row for row in read_ground_truth(SHIPPED) if row.kind == "duplicate"]
    same = [
        (pool / row.file_name).read_bytes() == (pool / row.of_file).read_bytes() for row in rows
    ]
    assert sum(same) == 15
    for row, exact in zip(rows, same, strict=True):
        if not exact:
            copy, original = _grey(pool / row.file_name), _grey(pool / row.of_file)
            moved = [np.roll(original, by, axis) for by in (-1, 1) for axis in (0, 1)]
            assert min(np.abs(copy - one).mean() for one in moved) < 12


def test_broken_files_are_what_they_say() -> None:
    """Files that show an image open in Pillow; the others raise, or are 1 by 1."""
    for row in read_ground_truth(SHIPPED):
        if row.kind != "broken" or row.defect in METADATA_DEFECTS:
            continue
        path = SHIPPED / "pool" / row.file_name
        if row.shows:
            assert _grey(path).shape == (32, 32), row.defect
        elif row.defect == "one_by_one":
            assert _grey(path).shape == (1, 1)
        else:
            with pytest.raises((OSError, SyntaxError, Image.DecompressionBombError)):
                _grey(path)
            assert path.stat().st_size < 4000


def test_oracle_gives_clean_images() -> None:
    """The helper for the oracle gives different clean images, the same for the same seed."""
    kinds = {row.file_name: row.kind for row in read_ground_truth(SHIPPED)}
    paths = clean_images(SHIPPED, 200)
    assert len(set(paths)) == 200
    assert {kinds[path.name] for path in paths} == {"clean"}
    assert paths == clean_images(SHIPPED, 200) != clean_images(SHIPPED, 200, seed=1)
    with pytest.raises(ValueError, match="450 clean images, 451 were asked for"):
        clean_images(SHIPPED, 451)


@needs_world
def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    """Two runs agree in every byte; another seed gives another pool."""
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        make_pool("coat", tmp_path / name, seed=seed, size=60)
    first, second, third = (_hashes(tmp_path / name) for name in "abc")
    assert first == second
    assert first["ground_truth.csv"] != third["ground_truth.csv"]


@needs_world
def test_shipped_pool_can_be_made_again(tmp_path: Path) -> None:
    """The builder shows the same images as the committed pool, under the same names."""
    make_pool("ankle boot", tmp_path / "again")
    assert read_ground_truth(tmp_path / "again") == read_ground_truth(SHIPPED)
    for row in read_ground_truth(SHIPPED)[::7]:
        if row.kind not in ("broken", "degraded"):
            again = _grey(tmp_path / "again" / "pool" / row.file_name)
            assert np.abs(again - _grey(SHIPPED / "pool" / row.file_name)).max() <= 8


@needs_world
@pytest.mark.parametrize("concept", LOOK_ALIKES)
def test_every_concept_has_a_pool(concept: str, tmp_path: Path) -> None:
    """A pool of any concept, in each recipe, is made of its own look-alikes."""
    for recipe in RECIPES:
        make_pool(concept, tmp_path / recipe, recipe, size=60, references=False)
        ground_truth = read_ground_truth(tmp_path / recipe)
        assert {t.shows for t in ground_truth if t.kind == "lookalike"} == set(LOOK_ALIKES[concept])
        assert {t.shows for t in ground_truth if t.kind in ("clean", "degraded")} == {concept}
        assert concept not in {t.shows for t in ground_truth if t.kind == "other"}
    for recipe, family in (("alternate", ALTERATIONS), ("third", FAULTS)):
        rows = read_ground_truth(tmp_path / recipe)
        assert {t.degradation for t in rows if t.kind == "degraded"} == set(family)


@needs_world
def test_no_image_is_used_twice(tmp_path: Path) -> None:
    """Seeds and clean images are different images of split `pool`."""
    make_pool("bag", tmp_path / "bag", size=200)
    rows = [row for row in read_ground_truth(tmp_path / "bag") if row.kind == "clean"]
    images = world.split_of_class("pool", world.CLASS_NAMES.index("bag")).astype(int)
    paths = [tmp_path / "bag" / "pool" / row.file_name for row in rows]
    paths += sorted((tmp_path / "bag" / "seeds").iterdir())
    nearest = [int(np.abs(images - _grey(path)).mean((1, 2)).argmin()) for path in paths]
    assert len(set(nearest)) == len(nearest)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("clean", [0.25, 0.1, 0.03])
def test_a_share_of_clean_images_leaves_the_mess_as_it_is(recipe: Recipe, clean: float) -> None:
    """All images are there, as many clean ones as asked for, the rest in the recipe's mix."""
    counts = recipe.with_clean(clean).counts()
    assert sum(counts.values()) == 1000
    assert counts["clean"] == pytest.approx(1000 * clean, abs=2)
    assert counts["lookalike"] / counts["other"] == pytest.approx(
        recipe.lookalike / recipe.other, rel=0.02
    )
    with pytest.raises(SystemExit, match="between 0 and 1, got 0"):
        recipe.with_clean(0)


@needs_world
def test_seeds_are_drawn_from_what_no_pool_uses(tmp_path: Path) -> None:
    """None is in the pool; the candidates are the same for all shares; three are of the ten."""
    left = [
        make_pool("bag", tmp_path / f"bag{clean}", size=400, seed=1, clean=clean, references=False)
        for clean in (0.25, 0.03)
    ]
    assert left[0][:SEED_CANDIDATES] == left[1][:SEED_CANDIDATES]
    ten, three = (draw_seeds("bag", left[0], "random", count, 5) for count in (10, 3))
    assert (len(set(ten)), ten[:3]) == (10, three)
    assert ten != draw_seeds("bag", left[0], "random", 10, 6)
    images = world.split_of_class("pool", world.CLASS_NAMES.index("bag")).astype(int)
    rows = [row for row in read_ground_truth(tmp_path / "bag0.25") if row.kind == "clean"]
    paths = [tmp_path / "bag0.25" / "pool" / row.file_name for row in rows]
    used = {int(np.abs(images - _grey(path)).mean((1, 2)).argmin()) for path in paths}
    assert len(used) == 100
    assert not used & set(left[0])
    write_seeds("bag", ten, tmp_path)
    assert np.array_equal(_grey(tmp_path / "00.png"), images[ten[0]])


@needs_world
def test_narrow_seeds_are_of_one_look() -> None:
    """Nearer to each other than random ones are, another look for another seed."""
    images = world.split_of_class("pool", world.CLASS_NAMES.index("bag")).astype(float)

    def spread(places: list[int]) -> float:
        return float(images[places].std(axis=0).mean())

    narrow = [draw_seeds("bag", range(150), "narrow", 10, seed) for seed in range(8)]
    chance = [draw_seeds("bag", range(150), "random", 10, seed) for seed in range(8)]
    assert np.mean([*map(spread, narrow)]) < 0.8 * np.mean([*map(spread, chance)])
    assert len({places[0] for places in narrow}) > 4
    with pytest.raises(SystemExit, match="leaves 5 images of 'bag', and seeds are drawn of 150"):
        draw_seeds("bag", range(5), "narrow", 10, 0)


@needs_world
def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder that holds something else is refused; unknown names are answered with a list."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit, match="holds something that is no pool"):
        make_pool("coat", tmp_path)
    with pytest.raises(SystemExit, match="no concept 'toaster': choose one of trouser"):
        make_pool("toaster", tmp_path / "new")
    with pytest.raises(SystemExit, match="no recipe 'worst'"):
        make_pool("coat", tmp_path / "new", "worst")


def test_ground_truth_rows_have_defaults() -> None:
    """A row needs a file and a kind, no more."""
    assert GroundTruthRow("a.png", "clean").severity == 0
