"""Images that are in memory already, as a pool: they go through the same rules as any other."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from coti.core.errors import PoolError
from coti.core.shown_names import printable
from coti.pool.entry import Entry

__all__ = ["ImagesInMemory", "names_of"]


class ImagesInMemory:
    """A :class:`~coti.pool.entry.PoolSource` of Pillow images, in their order."""

    kind = "images in memory"

    def __init__(self, images: Sequence[Image.Image]) -> None:
        if not images:
            raise PoolError("pool is an empty list: give images, or the path of a folder.")
        self._images, self._names = tuple(images), names_of(images, "pool")
        self.notes: list[str] = []

    @classmethod
    def claims(cls, source: str) -> bool:
        """No name: it is made of images."""
        return False

    def fingerprint(self) -> str:
        """Hash of every image's pixels."""
        total = hashlib.sha256()
        for image in self._images:
            total.update(f"{image.mode}{image.size}".encode() + image.tobytes())
        return total.hexdigest()

    def entries(self) -> Iterator[Entry]:
        """Every image, as a file without loss."""
        for name, image in zip(self._names, self._images, strict=True):
            yield Entry(name, read=partial(_as_file, image))


def names_of(images: Sequence[object], what: str) -> list[str]:
    """A name an image: its file's, where it was opened from one, else ``what`` and its number.

    Raises:
        PoolError: one of them is no Pillow image.
    """
    names = []
    for place, image in enumerate(images):
        if not isinstance(image, Image.Image):
            raise PoolError(
                f"{what}[{place}] is a {type(image).__name__}: give Pillow images, or the path of "
                "a folder."
            )
        path = getattr(image, "filename", "")
        names.append(printable(Path(path).name) if path else f"{what}-{place:04d}.png")
    return names


def _as_file(image: Image.Image) -> bytes:
    """PNG, or TIFF for the modes that PNG has not; with its profile and orientation."""
    buffer = io.BytesIO()
    kept = {name: image.info[name] for name in ("icc_profile",) if image.info.get(name)}
    if exif := image.getexif():
        kept["exif"] = exif.tobytes()
    try:
        image.save(buffer, "PNG", compress_level=1, **kept)
    except OSError:  # CMYK, float and the like
        buffer = io.BytesIO()
        image.save(buffer, "TIFF", **kept)
    return buffer.getvalue()
