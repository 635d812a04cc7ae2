"""Images for the uses that docs/using.md shows: a style, a fair set, an image to edit.

``python -m assets.build.make_uses --output assets/uses`` writes

* ``negative/seeds``, ``negative/pool`` and ``negative/references``: photographic negatives of
  every class, and a pool in which half of the images are; the style;
* ``footwear/seeds`` and ``footwear/references``: sandals, sneakers and ankle boots, as many of
  each; the balanced set that a fairer embedding is learned from;
* ``edit/sneaker.png`` and ``edit/mask.png``: an image, and the part above its opening.

Seeds and pools come from the split ``pool``, references and the edited image from ``reference``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from assets.build.world import CLASS_NAMES, RESOLUTION, split_of_class

FOOTWEAR = ("sandal", "sneaker", "ankle boot")
SEEDS_A_CLASS = 10
"""Of the fair set."""
REFERENCES_A_CLASS = 40
STYLE_REFERENCES_A_CLASS = 8
POOL_A_CLASS = 12
"""Images of a class in the style's pool; half of them negatives."""
SNEAKER = 12
"""Which sneaker of the references is edited."""
SHAFT = ((15, 3), (27, 17))
"""Corners of the mask in pixels: where an ankle boot has its shaft."""


def draw(split: str, label: int, count: int, seed: int) -> npt.NDArray[np.uint8]:
    """``count`` images of a class, uint8 [count, 32, 32], chosen by the seed."""
    images = split_of_class(split, label)
    rows = np.random.default_rng([seed, label]).permutation(len(images))[:count]
    return images[np.sort(rows)]


def write(folder: Path, images: npt.NDArray[np.uint8], names: list[str]) -> None:
    """Write grey images as RGB PNGs."""
    folder.mkdir(parents=True, exist_ok=True)
    for image, name in zip(images, names, strict=True):
        Image.fromarray(image).convert("RGB").save(folder / f"{name}.png", optimize=True)


def make_negative(folder: Path, seed: int) -> None:
    """The style: one seed a class, a pool of negatives among positives, held-out negatives."""
    classes = range(len(CLASS_NAMES))
    drawn = [draw("pool", label, POOL_A_CLASS + 1, seed) for label in classes]
    seeds = np.stack([255 - images[-1] for images in drawn])
    write(folder / "seeds", seeds, [f"{label:02d}" for label in classes])
    pool = np.concatenate([images[:-1] for images in drawn])
    half = np.arange(len(pool)) % 2 == 0
    pool = np.where(half[:, None, None], 255 - pool, pool)
    order = np.random.default_rng(seed).permutation(len(pool))
    write(folder / "pool", pool[order], [f"{number:04d}" for number in range(len(pool))])
    held = [draw("reference", label, STYLE_REFERENCES_A_CLASS, seed) for label in classes]
    names = [f"{number:03d}" for number in range(len(held) * STYLE_REFERENCES_A_CLASS)]
    write(folder / "references", 255 - np.concatenate(held), names)


def make_footwear(folder: Path, seed: int) -> None:
    """The fair set: as many of each class."""
    for part, split, count in (
        ("seeds", "pool", SEEDS_A_CLASS),
        ("references", "reference", REFERENCES_A_CLASS),
    ):
        for name in FOOTWEAR:
            images = draw(split, CLASS_NAMES.index(name), count, seed)
            short = name.replace(" ", "_")
            write(folder / part, images, [f"{short}_{i:02d}" for i in range(count)])


def make_edit(folder: Path) -> None:
    """A sneaker, and a mask that is white where a shaft would be."""
    sneaker = split_of_class("reference", CLASS_NAMES.index("sneaker"))[SNEAKER]
    write(folder, sneaker[None], ["sneaker"])
    mask = Image.new("L", (RESOLUTION, RESOLUTION), 0)
    ImageDraw.Draw(mask).rectangle(SHAFT, fill=255)
    mask.save(folder / "mask.png", optimize=True)


def main() -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(description="images for the uses in docs/using.md")
    parser.add_argument("--output", default=Path("assets/uses"), type=Path)
    parser.add_argument("--seed", default=0, type=int)
    given = parser.parse_args()
    make_negative(given.output / "negative", given.seed)
    make_footwear(given.output / "footwear", given.seed)
    make_edit(given.output / "edit")
    files = list(given.output.rglob("*.png"))
    print(f"{given.output}: {len(files)} images, {sum(f.stat().st_size for f in files)} bytes")


if __name__ == "__main__":
    main()
