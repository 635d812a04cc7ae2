"""Images that the user chose (seeds, references, what is trained on or edited), in the sandbox.

A decoder that is taken over, crashes or hangs by one of them ends that image with a sentence, as it
does in a pool.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coti.core.errors import PoolError
from coti.core.file_rules import FileRefused, read_inside, user_path
from coti.core.fitting import Fit
from coti.core.images import image_names, read_named_file, unusable_image
from coti.core.shown_names import escaped
from coti.core.work import told
from coti.pool.decode.decoder import Decoded, Limits
from coti.pool.decode.sandbox import DecodePool
from coti.pool.reasons import Rejected
from coti.settings import PoolSettings

if TYPE_CHECKING:
    import torch
    from PIL import Image

__all__ = [
    "CHOSEN",
    "ChosenImage",
    "bytes_reader",
    "image_reader",
    "look_at_chosen_images",
    "read_chosen_images",
]


CHOSEN = "chosen image"
"""What :mod:`coti.core.work` is told of one that is decoded."""


@dataclass(frozen=True)
class ChosenImage:
    """What is known of a file among images that the user chose."""

    name: str
    """In the folder, as it can be shown."""
    width: int = 0
    """Pixels, upright; 0 of one that cannot be used."""
    height: int = 0
    refused: str = ""
    """Why it cannot be used, with the remedy: the sentence that ends a run."""

    @property
    def pixels(self) -> int:
        """Its area."""
        return self.width * self.height


def look_at_chosen_images(path: str | Path) -> list[ChosenImage]:
    """The images of a folder, by name, with the bad ones that :func:`read_chosen_images` refuses.

    Raises:
        PoolError: there is no such folder, or it holds no image.
    """
    folder = user_path(path)
    found = []
    with _decoder(1) as decoded:
        for name in image_names(folder):

            def read(name: str = name) -> bytes:
                return read_inside(folder, name)

            try:
                _, image = decoded(str(folder / name), read)
                found.append(ChosenImage(escaped(name), image.width, image.height))
            except PoolError as refused:
                found.append(ChosenImage(escaped(name), refused=str(refused)))
    return found


def read_chosen_images(
    path: str | Path, resolution: int, fit: Fit
) -> tuple[list[str], list[str], torch.Tensor]:
    """Images of a folder, by name: ids, names as a pool has them
    (:func:`~coti.core.shown_names.escaped`), uint8 [n, 3, resolution, resolution].

    They must all be good: :func:`coti.core.images.image_names` says which files are meant.

    Raises:
        PoolError: there is no such folder, it holds no image, or a file in it is none.
    """
    import numpy as np
    import torch

    folder = user_path(path)
    names = image_names(folder)
    ids, images = [], []
    with _decoder(resolution, fit) as decoded:
        for name in told(CHOSEN, names):

            def read(name: str = name) -> bytes:
                return read_inside(folder, name)

            data, found = decoded(str(folder / name), read)
            ids.append(hashlib.sha256(data).hexdigest()[:20])
            shape = (resolution, resolution, 3)
            images.append(np.frombuffer(found.pixels, np.uint8).reshape(shape))
    tensor = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return ids, [escaped(name) for name in names], tensor


@contextmanager
def image_reader() -> Iterator[Callable[[Path], Image.Image]]:
    """Reads a file that the user names: an upright RGB image of its own size, or PoolError."""
    from PIL import Image

    with _decoder(0) as decoded:

        def read(path: Path) -> Image.Image:
            _, found = decoded(str(path), lambda: read_named_file(path))
            return Image.frombytes("RGB", (found.width, found.height), found.pixels)

        yield read


@contextmanager
def bytes_reader() -> Iterator[Callable[[bytes, str], Image.Image]]:
    """Reads a file's bytes, with its name for errors: as :func:`image_reader`."""
    from PIL import Image

    with _decoder(0) as decoded:

        def read(data: bytes, name: str) -> Image.Image:
            _, found = decoded(name, lambda: data)
            return Image.frombytes("RGB", (found.width, found.height), found.pixels)

        yield read


@contextmanager
def _decoder(
    resolution: int, fit: Fit | None = None
) -> Iterator[Callable[[str, Callable[[], bytes]], tuple[bytes, Decoded]]]:
    """Takes a name and what reads the bytes; gives these and what they are."""
    settings = PoolSettings()
    with DecodePool(
        Limits(resolution, settings.max_pixels, measure=False, fit=fit or Fit()),
        workers=1,
        timeout=settings.decode_timeout,
        memory=settings.decode_memory,
    ) as decoders:

        def decoded(name: str, read: Callable[[], bytes]) -> tuple[bytes, Decoded]:
            try:
                data = read()
                return data, decoders.decode(data)
            except (FileRefused, Rejected) as refused:
                raise unusable_image(name, refused.reason, refused.detail) from refused

        yield decoded
