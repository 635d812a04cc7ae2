"""Make a messy web pool for one concept of the world, with seeds, references and ground truth.

``python -m assets.build.make_pool --concept "ankle boot" --output assets/pools/ankle_boot``
writes ``pool/`` (images of mixed kinds and ``metadata.csv`` in Hugging Face's imagefolder
form), ``seeds/``, ``references/`` and, outside of the pool, ``ground_truth.csv``
and ``recipe.json``. The same arguments give the same bytes.

Seeds and pool come from split ``pool`` of the world, references from split ``reference``; no
image is used twice, but for what the ground truth calls a duplicate. ``--clean 0.1`` makes a pool
of which a tenth is clean. Images of the concept that a pool leaves over are the candidates of which
``--seed-images KIND COUNT SEED`` draws other seeds, into a folder of their own.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from assets.build import world
from assets.build.degrade import ALTERATIONS, DEGRADATIONS, FAULTS, PILImage, collage, degrade
from assets.build.pool_captions import alt_text
from assets.build.pool_defects import DEFECTS, METADATA_DEFECTS, encode
from coti.core.whole_files import MARKER

LOOK_ALIKES: dict[str, tuple[str, str]] = {
    "trouser": ("dress", "coat"),
    "pullover": ("coat", "shirt"),
    "dress": ("t-shirt", "coat"),
    "coat": ("pullover", "shirt"),
    "sandal": ("sneaker", "ankle boot"),
    "sneaker": ("ankle boot", "sandal"),
    "bag": ("t-shirt", "shirt"),
    "ankle boot": ("sneaker", "sandal"),
}
"""The two classes that a keyword search for a concept mixes up with it."""


@dataclass(frozen=True)
class Recipe:
    """What a pool is made of. Shares are parts of ``size`` and add up to 1."""

    size: int = 1000
    """Images; broken files come on top."""
    clean: float = 0.45
    degraded: float = 0.15
    lookalike: float = 0.24
    other: float = 0.13
    duplicate: float = 0.03
    degradations: tuple[str, ...] = DEGRADATIONS
    severities: tuple[int, int] = (3, 5)
    """Least and greatest severity of a degraded image."""
    non_product: float = 0.2
    """Part of the other things that are no product at all: noise, gradients, pages of text."""
    seeds: int = 10
    broken: bool = True
    """Whether broken files and bad rows of metadata are added."""

    def counts(self) -> dict[str, int]:
        """Images of each kind; the clean ones take up what rounding leaves."""
        kinds = ("degraded", "lookalike", "other", "duplicate")
        counts = {kind: round(getattr(self, kind) * self.size) for kind in kinds}
        return {"clean": self.size - sum(counts.values()), **counts}

    def with_clean(self, clean: float) -> Recipe:
        """The same mess around another share of clean images.

        Duplicates, which are of clean images, stay in proportion to these; everything else grows
        or shrinks by one factor.

        Raises:
            SystemExit: the share is not between 0 and 1, or leaves no room for its duplicates.
        """
        duplicate = self.duplicate * clean / self.clean
        rest = 1 - clean - duplicate
        if not 0 < clean < 1 or rest < 0:
            raise SystemExit(f"a share of clean images lies between 0 and 1, got {clean:g}")
        factor = rest / (1 - self.clean - self.duplicate)
        mess = {name: getattr(self, name) * factor for name in ("degraded", "lookalike", "other")}
        return replace(self, clean=clean, duplicate=duplicate, **mess)


RECIPES = {
    "default": Recipe(),
    "alternate": Recipe(degradations=ALTERATIONS),
    "third": Recipe(
        clean=0.34,
        degraded=0.21,
        lookalike=0.17,
        other=0.23,
        duplicate=0.05,
        degradations=FAULTS,
        severities=(2, 5),
        non_product=0.4,
    ),
}
"""``alternate`` and ``third`` are never used for tuning; ``third`` was written after the models and
without a look at any result."""

SeedKind = Literal["random", "narrow"]
"""How seed images are drawn: any, or of one look."""

SEED_CANDIDATES = 150
"""Images of which seeds are drawn; the same ones for all shares of clean images."""

_COMPONENTS = 32
"""Principal components of the pixels in which a look's images are near each other."""


@dataclass(frozen=True)
class GroundTruthRow:
    """One row of the ground truth."""

    file_name: str
    kind: str
    """clean, degraded, lookalike, other, duplicate or broken."""
    shows: str = ""
    """The class it shows; empty for no product and for what cannot be read."""
    degradation: str = ""
    severity: int = 0
    of_file: str = ""
    """For a duplicate: the file it repeats."""
    defect: str = ""
    """For a broken file: what is odd about it."""


GROUND_TRUTH_COLUMNS = tuple(
    "class" if f.name == "shows" else f.name for f in fields(GroundTruthRow)
)
"""Columns of ``ground_truth.csv``: the fields of `GroundTruthRow`, with ``class`` for what a
file shows."""


class _Shelf:
    """The images of split ``pool``, each handed out once."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._images = {
            name: world.split_of_class("pool", label)
            for label, name in enumerate(world.CLASS_NAMES)
        }
        self._order = {n: list(rng.permutation(len(p))) for n, p in self._images.items()}

    def take(self, name: str) -> PILImage:
        """The next unused image of a class, uint8 [h, w]."""
        if not self._order[name]:
            raise SystemExit(
                f"split pool has only {len(self._images[name])} images of {name!r}: "
                "make a smaller pool (--size)"
            )
        image: PILImage = self._images[name][self._order[name].pop()]
        return image

    def left(self, name: str) -> list[int]:
        """Places in the split of the images of a class that nobody took, the last taken last."""
        return [int(place) for place in self._order[name]]


def _non_product(rng: np.random.Generator) -> PILImage:
    """An image of nothing on sale: noise, a gradient, a flat colour or a page of text."""
    side = world.RESOLUTION
    kind = int(rng.integers(4))
    if kind == 0:
        return rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
    if kind == 1:
        ends = rng.integers(0, 256, (2, 3))
        ramp = np.linspace(0, 1, side)[:, None, None]
        image = (ends[0] * (1 - ramp) + ends[1] * ramp).repeat(side, 1).astype(np.uint8)
        return np.ascontiguousarray(image.swapaxes(0, 1) if rng.random() < 0.5 else image)
    if kind == 2:
        return np.full((side, side, 3), rng.integers(0, 256, 3), np.uint8)
    page = Image.new("RGB", (side, side), (245, 245, 245))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default_imagefont()
    for line in range(3):
        words = "".join(chr(code) for code in rng.integers(97, 123, 6))
        draw.text((1, 10 * line), words, font=font, fill=(20, 20, 20))
    return np.asarray(page)


def _near_copy(image: PILImage, rng: np.random.Generator) -> PILImage:
    """An image moved by a pixel and made a little lighter or darker, as re-uploads are."""
    moved = np.roll(image, int(rng.choice([-1, 1])), axis=int(rng.integers(2)))
    lighter: PILImage = np.clip(np.rint(moved * rng.uniform(0.92, 1.08)), 0, 255).astype(np.uint8)
    return lighter


def _write_image(pil_image: PILImage, rng: np.random.Generator) -> tuple[str, bytes]:
    """A suffix and the bytes of a pil_image: PNG of several modes, JPEG or WebP of quality 90+."""
    draw = rng.random()
    if draw < 0.4:
        mode = str(rng.choice(["RGB", "L", "P", "RGBA"], p=[0.7, 0.15, 0.1, 0.05]))
        file = io.BytesIO()
        image = Image.fromarray(pil_image).convert("RGB")
        if mode == "P":
            image = image.convert("L").convert("P")
        elif mode != "L" or pil_image.ndim == 2:
            image = image.convert(mode)
        image.save(file, "PNG")
        return ".png", file.getvalue()
    if draw < 0.8:
        suffix = str(rng.choice([".jpg", ".jpeg", ".JPG"], p=[0.7, 0.2, 0.1]))
        return suffix, encode(pil_image, "JPEG", quality=int(rng.integers(90, 98)))
    return ".webp", encode(pil_image, "WEBP", quality=int(rng.integers(90, 98)), method=4)


class _Pool:
    """A pool while it is being made: files, rows of metadata and ground truth."""

    def __init__(self, folder: Path, concept: str, rng: np.random.Generator) -> None:
        self.folder, self.concept, self.rng = folder, concept, rng
        self.metadata: list[tuple[str, str]] = []
        self.ground_truth: list[GroundTruthRow] = []
        self.names: set[str] = set()

    def new_name(self, suffix: str) -> str:
        """A name that says nothing."""
        while True:
            name = f"{self.rng.bytes(6).hex()}{suffix}"
            if name not in self.names:
                self.names.add(name)
                return name

    def add(
        self, data: bytes, ground_truth: GroundTruthRow, mentions: float = 0.85, listed: bool = True
    ) -> None:
        """Write a file, its row of metadata and its row of the key."""
        (self.folder / ground_truth.file_name).write_bytes(data)
        self.note(ground_truth, mentions, listed)

    def note(
        self, ground_truth: GroundTruthRow, mentions: float = 0.85, listed: bool = True
    ) -> None:
        """The rows alone."""
        self.ground_truth.append(ground_truth)
        text = alt_text(self.concept, mentions, self.rng)
        if listed:
            self.metadata.append((ground_truth.file_name, text))

    def add_image(self, image: PILImage, mentions: float = 0.85, **ground_truth: object) -> None:
        """An image in a file of some kind, under a new name."""
        suffix, data = _write_image(image, self.rng)
        self.add(data, GroundTruthRow(self.new_name(suffix), **ground_truth), mentions)  # type: ignore[arg-type]


def _fill(pool: _Pool, recipe: Recipe, shelf: _Shelf) -> None:
    """All images of the recipe, kind by kind (`metadata.csv` is shuffled afterwards)."""
    concept, rng, counts = pool.concept, pool.rng, recipe.counts()
    clean: list[PILImage] = []
    for _ in range(counts["clean"]):
        clean.append(shelf.take(concept))
        pool.add_image(clean[-1], kind="clean", shows=concept)
    originals = [ground_truth.file_name for ground_truth in pool.ground_truth]
    for number in range(counts["degraded"]):
        kind = recipe.degradations[number % len(recipe.degradations)]
        severity = int(rng.integers(recipe.severities[0], recipe.severities[1] + 1))
        if kind == "collage":
            worse = collage([shelf.take(concept) for _ in range(4)])
        else:
            worse = degrade(shelf.take(concept), kind, severity, rng)
        pool.add_image(worse, kind="degraded", shows=concept, degradation=kind, severity=severity)
    alike = LOOK_ALIKES[concept]
    for number in range(counts["lookalike"]):
        name = alike[number % len(alike)]
        pool.add_image(shelf.take(name), kind="lookalike", shows=name)
    rest = [name for name in world.CLASS_NAMES if name != concept and name not in alike]
    products = counts["other"] - round(recipe.non_product * counts["other"])
    for number in range(counts["other"]):
        if number < products:
            name = rest[number % len(rest)]
            pool.add_image(shelf.take(name), 0.6, kind="other", shows=name)
        else:
            pool.add_image(_non_product(rng), 0.6, kind="other")
    for number, row in enumerate(rng.permutation(len(clean))[: counts["duplicate"]]):
        ground_truth = {"kind": "duplicate", "shows": concept, "of_file": originals[row]}
        if number % 2:
            pool.add_image(_near_copy(clean[row], rng), **ground_truth)
        else:
            data = (pool.folder / originals[row]).read_bytes()
            name = pool.new_name(Path(originals[row]).suffix)
            pool.add(data, GroundTruthRow(name, **ground_truth))


def _add_broken(pool: _Pool, shelf: _Shelf) -> None:
    """One file of every defect, and the bad rows of metadata."""
    for defect in DEFECTS:
        name = f"{defect.stem}{defect.suffix}" if defect.stem else pool.new_name(defect.suffix)
        shows = pool.concept if defect.shows_image else ""
        ground_truth = GroundTruthRow(name, "broken", shows=shows, defect=defect.name)
        pool.add(defect.make(shelf.take(pool.concept)), ground_truth, listed=defect.in_metadata)
    for defect_name, path in METADATA_DEFECTS.items():
        pool.note(GroundTruthRow(path, "broken", defect=defect_name))


def make_pool(
    concept: str,
    folder: Path,
    recipe_name: str = "default",
    seed: int = 0,
    size: int | None = None,
    clean: float | None = None,
    *,
    references: bool = True,
) -> list[int]:
    """Make pool, seeds, references and ground truth of a concept in an empty or new folder.

    Args:
        concept: a class of the world.
        folder: where it goes.
        recipe_name: of `RECIPES`.
        seed: of everything random.
        size: images in the pool; none: the recipe's.
        clean: share of clean images, 0 to 1; none: the recipe's.
        references: whether they are written; the same for all pools of a concept.

    Returns:
        Places in the concept's part of split ``pool`` of the images that nothing uses: the
        candidates of `draw_seeds`.

    Raises:
        SystemExit: unknown concept or recipe, a folder that holds something else, or a pool
            larger than the world.
    """
    if concept not in LOOK_ALIKES:
        raise SystemExit(f"no concept {concept!r}: choose one of {', '.join(LOOK_ALIKES)}")
    if recipe_name not in RECIPES:
        raise SystemExit(f"no recipe {recipe_name!r}: choose one of {', '.join(RECIPES)}")
    recipe = RECIPES[recipe_name]
    if size is not None:
        recipe = replace(recipe, size=size)
    if clean is not None:
        recipe = recipe.with_clean(clean)
    if folder.exists() and any(each.name != MARKER for each in folder.iterdir()):
        if not (folder / "recipe.json").is_file():
            raise SystemExit(f"{folder} holds something that is no pool: give an empty folder")
        shutil.rmtree(folder)
    rng = np.random.default_rng([seed, zlib.crc32(f"{concept}/{recipe_name}".encode())])
    shelf = _Shelf(rng)
    for part in ("pool", "seeds", "references"):
        (folder / part).mkdir(parents=True, exist_ok=True)

    for number in range(recipe.seeds):
        path = folder / "seeds" / f"{number:02d}.png"
        path.write_bytes(encode(shelf.take(concept), "PNG", optimize=True))
    if references:
        write_references(concept, folder / "references")

    pool = _Pool(folder / "pool", concept, rng)
    _fill(pool, recipe, shelf)
    if recipe.broken:
        _add_broken(pool, shelf)
    order = rng.permutation(len(pool.metadata))
    _write_csv(
        folder / "pool" / "metadata.csv",
        ["file_name", "text"],
        [list(pool.metadata[row]) for row in order],
    )
    rows = sorted(pool.ground_truth, key=lambda ground_truth: ground_truth.file_name)
    _write_csv(
        folder / "ground_truth.csv",
        GROUND_TRUTH_COLUMNS,
        [[str(value) for value in asdict(row).values()] for row in rows],
    )
    about = {"concept": concept, "recipe_name": recipe_name, "seed": seed, **asdict(recipe)}
    (folder / "recipe.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return shelf.left(concept)


def write_references(concept: str, folder: Path) -> None:
    """The concept's held-out references as PNG files into a folder that is there."""
    images = world.split_of_class("reference", world.CLASS_NAMES.index(concept))
    for number, image in enumerate(images):
        (folder / f"{number:04d}.png").write_bytes(encode(image, "PNG", optimize=True))


def draw_seeds(
    concept: str, left: Sequence[int], kind: SeedKind, count: int, seed: int
) -> list[int]:
    """Choose seed images among those that a pool left over, as `make_pool` returns them.

    ``random``: any; fewer of the same seed are the first of more. ``narrow``: one at random and
    those nearest to it by the principal components of their pixels, the nearest first: ten of one
    look. No encoder has a say.

    Returns:
        Places in the concept's part of split ``pool``.

    Raises:
        SystemExit: the pool leaves too few, or there are fewer than ``count``.
    """
    if len(left) < SEED_CANDIDATES:
        raise SystemExit(
            f"the pool leaves {len(left)} images of {concept!r}, and seeds are drawn of "
            f"{SEED_CANDIDATES}: make a smaller pool (--size)"
        )
    if not 0 < count <= SEED_CANDIDATES:
        raise SystemExit(f"seeds are 1 to {SEED_CANDIDATES} images, got {count}")
    candidates = np.array(left[:SEED_CANDIDATES], dtype=np.int64)
    rng = np.random.default_rng([seed, zlib.crc32(f"seeds/{concept}/{kind}".encode())])
    order = rng.permutation(len(candidates))
    if kind == "narrow":
        images = world.split_of_class("pool", world.CLASS_NAMES.index(concept))[candidates]
        order = _nearest(images, int(order[0]))
    return [int(place) for place in candidates[order[:count]]]


def _nearest(images: npt.NDArray[np.uint8], anchor: int) -> npt.NDArray[np.int64]:
    """Rows of images uint8 [n, h, w] by their distance to one of them, itself first."""
    pixels = images.reshape(len(images), -1).astype(np.float64)
    left, values, _ = np.linalg.svd(pixels - pixels.mean(axis=0), full_matrices=False)
    parts = (left * values)[:, :_COMPONENTS]
    return np.argsort(((parts - parts[anchor]) ** 2).sum(axis=1), kind="stable")


def write_seeds(concept: str, places: Sequence[int], folder: Path) -> None:
    """Seed images of `draw_seeds` as PNG files into a folder that is there."""
    images = world.split_of_class("pool", world.CLASS_NAMES.index(concept))
    for number, place in enumerate(places):
        (folder / f"{number:02d}.png").write_bytes(encode(images[place], "PNG", optimize=True))


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_ground_truth(folder: Path) -> list[GroundTruthRow]:
    """The ground truth of a folder that `make_pool` made."""
    with (folder / "ground_truth.csv").open(newline="", encoding="utf-8") as file:
        return [
            GroundTruthRow(shows=row.pop("class"), severity=int(row.pop("severity")), **row)
            for row in csv.DictReader(file)
        ]


def clean_images(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Paths of ``count`` clean images of the concept, for the oracle of the experiments.

    Raises:
        ValueError: the pool has fewer.
    """
    names = sorted(
        ground_truth.file_name
        for ground_truth in read_ground_truth(folder)
        if ground_truth.kind == "clean"
    )
    if count > len(names):
        raise ValueError(f"{folder} has {len(names)} clean images, {count} were asked for")
    chosen = np.random.default_rng(seed).permutation(len(names))[:count]
    return [folder / "pool" / names[row] for row in chosen]


def main() -> None:
    """Make a pool from the command line."""
    parser = argparse.ArgumentParser(description="make a messy pool for a concept of the world")
    parser.add_argument("--concept", required=True, choices=sorted(LOOK_ALIKES))
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--recipe", default="default", choices=sorted(RECIPES))
    parser.add_argument("--seed", default=0, type=int)
    parser.add_argument("--size", type=int, help="images in the pool; default: the recipe's")
    parser.add_argument("--clean", type=float, help="share of clean images; default: the recipe's")
    parser.add_argument(
        "--seed-images",
        nargs=3,
        metavar=("KIND", "COUNT", "SEED"),
        help="also draw other seeds, random or narrow, into seeds-KIND-COUNT-SEED",
    )
    given = parser.parse_args()
    left = make_pool(given.concept, given.output, given.recipe, given.seed, given.size, given.clean)
    if given.seed_images:
        kind, count, seed = given.seed_images
        if kind not in get_args(SeedKind) or not (count.isdigit() and seed.isdigit()):
            parser.error("--seed-images takes random or narrow, a count and a seed")
        seeds = given.output / f"seeds-{kind}-{count}-{seed}"
        seeds.mkdir()
        places = draw_seeds(given.concept, left, kind, int(count), int(seed))
        write_seeds(given.concept, places, seeds)
    total = sum(file.stat().st_size for file in given.output.rglob("*") if file.is_file())
    count = sum(1 for _ in (given.output / "pool").iterdir()) - 1
    print(f"{given.output}: {count} files in the pool, {total / 1e6:.1f} MB in all")


if __name__ == "__main__":
    main()
