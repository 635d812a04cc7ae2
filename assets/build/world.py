"""The bundled world: Fashion-MNIST images, and which of them may be used for what.

Fashion-MNIST (Xiao et al. 2017, MIT license) holds 28x28 greyscale thumbnails of real
product photographs: 6,000 a class to train on and 1,000 a class to test on. The world shows
each one as a 32x32 RGB image, padded with two black pixels on every side.

Splits are by position inside a class, so that anyone can say which image was used where:

=============  ==================  =============================================================
split          of a class          used for
=============  ==================  =============================================================
``base``       train[0:3800]       autoencoder, text encoder and UNet; scorer; aesthetic ratings
``judge``      train[3800:5200]    the two judges, nothing else
``pool``       train[5200:6000]    seeds and pools, nothing else
``reference``  test[0:1000]        held-out references of the metrics and test accuracy; never
                                   trained on by anything
=============  ==================  =============================================================

Base model and scorer share images on purpose: Stable Diffusion and OpenCLIP share LAION.
"""

from __future__ import annotations

import gzip
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

CLASS_NAMES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
"""The ten classes in label order."""

BENCHMARK_CONCEPTS = (
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "sneaker",
    "bag",
    "ankle boot",
)
"""The eight concepts whose names the base model has never read."""

SPLITS: dict[str, tuple[str, int, int]] = {
    "base": ("train", 0, 3800),
    "judge": ("train", 3800, 5200),
    "pool": ("train", 5200, 6000),
    "reference": ("t10k", 0, 1000),
}
"""split -> (file prefix, first position in a class, one past the last)."""

RESOLUTION = 32
"""Side of an image of the world, in pixels."""

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FOLDER_VARIABLE = "FASHION_MNIST_DIR"


def data_folder() -> Path:
    """The folder with the four IDX files: ``$FASHION_MNIST_DIR``, or where Debian puts it."""
    folder = Path(os.environ.get(FOLDER_VARIABLE, DEBIAN_FOLDER))
    if not (folder / "train-images-idx3-ubyte.gz").is_file():
        raise SystemExit(
            f"Fashion-MNIST not found in {folder}: `apt-get install dataset-fashion-mnist`, or "
            f"set {FOLDER_VARIABLE} to a folder with its four original .gz files."
        )
    return folder


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read one gzipped IDX file of unsigned bytes."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, dtype=">i4", count=rank, offset=4)
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * rank).reshape(tuple(shape))


@lru_cache(maxsize=2)
def _load(prefix: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    folder = data_folder()
    images = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    return images, labels


def split_of_class(split: str, label: int) -> npt.NDArray[np.uint8]:
    """Images of one class in one split, uint8 [n, 32, 32], 0 to 255."""
    prefix, first, last = SPLITS[split]
    images, labels = _load(prefix)
    rows = np.flatnonzero(labels == label)[first:last]
    return np.pad(images[rows], ((0, 0), (2, 2), (2, 2)))


def load_split(split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """All images of a split, uint8 [n, 32, 32] grey, with labels int64 [n], class by class."""
    parts = [split_of_class(split, label) for label in range(len(CLASS_NAMES))]
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return np.concatenate(parts), labels


def to_rgb(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Grey uint8 [n, h, w] to RGB uint8 [n, 3, h, w]."""
    return np.repeat(grey[:, None], 3, axis=1)
