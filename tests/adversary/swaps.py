"""Files swapped while they are read: at the n-th opening, the n from a seed, one is another thing.

An audit hook of the interpreter stands between any check and any read, wherever the code has them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from coti.core.errors import PoolError
from coti.core.fitting import Fit
from coti.pool.chosen_images import read_chosen_images
from coti.pool.ingest import ingest
from coti.pool.open_source import fingerprint_source, open_source
from coti.pool.references import read_references
from coti.settings import PoolSettings
from tests.coti.pool.conftest import encoded, image

__all__ = ["attack"]

_SECRET = (255, 0, 255)
_SECRET_URL = "ftp://example.org/from-outside"
_SIZE = 16


def attack(dice: random.Random, folder: Path) -> list[str]:
    """What is read is what stood inside at one time, or one sentence; nothing waits for a pipe,
    nothing from outside gets in, and no pool is kept under the hash of what it is not.
    """
    root, outside = folder / "pool", folder / "outside.png"
    root.mkdir()
    outside.write_bytes(encoded(Image.new("RGB", (40, 40), _SECRET)))
    for number in range(6):
        (root / f"{number}.png").write_bytes(encoded(image(number)))
        (root / f"{number}.txt").write_text(f"boot {number}")
    if dice.random() < 0.3:
        (root / "metadata.csv").write_text("file_name,text\n0.png,zero\n5.png,five\n")
    if sharded := dice.random() < 0.3:
        _into_shard(root)
    reader = dice.choice(list(_READERS if not sharded else ["pool"]))
    if reader == "URL tables":
        outside = _into_tables(root, outside)
    target = dice.choice(sorted(root.iterdir()))
    how = dice.choice([name for name in _SWAPS if name != "folder" or not sharded])
    known = _hashes(root), fingerprint_source(str(root))
    number = dice.randint(1, 30 if reader in ("pool", "URL tables") else 8)
    with _at_opening(root, number, lambda: _SWAPS[how](target, outside)) as swapped:
        try:
            pixels, read = _READERS[reader](root)
        except PoolError as error:
            assert len(str(error).splitlines()) == 1, error
            return [f"{reader}: {how}: refused" if swapped else f"{reader}: refused"]
    if read is not None and read != known:  # then it is what stands there now
        assert read == _READERS[reader](root)[1], "kept under the hash of another pool"
    assert read is None or _SECRET_URL not in read[0].values(), f"{target.name} was read"
    for each in pixels:
        mean = each.reshape(-1, 3).mean(0)
        assert np.abs(mean - _SECRET).max() > 30, f"{target.name} from outside was read"
    return [f"{reader}: {how}: read" if swapped else "read before the swap"]


_Read = tuple[list[np.ndarray], tuple[dict[str, str], str] | None]
"""Images, and of a pool its rows' hashes or URLs by name and its own hash."""


def _pool(root: Path) -> _Read:
    """As a step of the pipeline: the hash first, then the pool."""
    fingerprint = fingerprint_source(str(root))
    settings = PoolSettings(workers=1, read_threads=1)
    pool = ingest(str(root), settings, _SIZE, fingerprint=fingerprint)
    rows = pool.manifest
    hashes = dict(zip(rows["source"], rows["sha256"], strict=True))
    assert len(hashes) == len(rows)
    good = list(rows[rows["reason"] == ""]["id"])
    images = [one.permute(1, 2, 0).numpy() for one in pool.pool_images.tensor(good)]
    return images, ({name: value for name, value in hashes.items() if value}, fingerprint)


def _url_tables(root: Path) -> _Read:
    """As :func:`_pool`, without the images behind the URLs, which nobody may fetch."""
    settings = PoolSettings(kind="url_table")
    fingerprint = fingerprint_source(str(root), settings)
    source = open_source(str(root), settings)
    entries = list(source.entries())
    if source.fingerprint() != fingerprint:
        raise PoolError("The pool changed while it was read.")
    return [], ({e.name: e.extra["url"] for e in entries if "url" in e.extra}, fingerprint)


def _images(tensor: torch.Tensor) -> _Read:
    return list(tensor.permute(0, 2, 3, 1).numpy()), None


_READERS: dict[str, Callable[[Path], _Read]] = {
    "pool": _pool,
    "seeds": lambda root: _images(read_chosen_images(root, _SIZE, Fit())[2]),
    "references": lambda root: _images(read_references(root, _SIZE, Fit())),
    "URL tables": _url_tables,
}


def _hashes(root: Path) -> dict[str, str]:
    """Of each image's bytes, or each URL, by its name in the manifest."""
    found = {}
    for path in root.iterdir():
        if path.suffix == ".csv" and path.stem.isdigit():
            found[f"{path.name}#0"] = path.read_text().split()[1]
        if path.suffix == ".png":
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        if path.suffix == ".tar":
            with tarfile.open(path) as archive:
                for name in archive.getnames():
                    if name.endswith(".png") and (file := archive.extractfile(name)):
                        digest = hashlib.sha256(file.read()).hexdigest()
                        found[f"{path.name}/{name}"] = digest
    return found


def _pipe(target: Path, outside: Path) -> None:
    target.unlink()
    os.mkfifo(target)


def _link(target: Path, outside: Path) -> None:
    target.unlink()
    target.symlink_to(outside)


def _folder(target: Path, outside: Path) -> None:
    """The folder itself is another, with a link in it where the file was."""
    root = target.parent
    root.rename(root.with_name("moved"))
    root.mkdir()
    target.symlink_to(outside)


def _subfolder(target: Path, outside: Path) -> None:
    target.unlink()
    target.mkdir()
    shutil.copy(outside, target / "inside.txt")


_SWAPS: dict[str, Callable[[Path, Path], None]] = {
    "pipe": _pipe,
    "link": _link,
    "folder": _folder,
    "subfolder": _subfolder,
    "gone": lambda target, _: target.unlink(),
    "other bytes": lambda target, _: target.write_bytes(encoded(image(99))),
    "cut": lambda target, _: os.truncate(target, target.stat().st_size // 2),
}


def _into_shard(root: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted(root.iterdir()):
            archive.add(path, path.name)
            path.unlink()
    (root / "00000.tar").write_bytes(stream.getvalue())
    (root / "00001.tar").write_bytes(stream.getvalue())


def _into_tables(root: Path, outside: Path) -> Path:
    """Tables of a URL each in place of the images; the one outside."""
    for path in root.iterdir():
        path.unlink()
    for number in range(4):
        (root / f"{number}.csv").write_text(f"url\nftp://example.org/{number}\n")
    table = outside.with_suffix(".csv")
    table.write_text(f"url\n{_SECRET_URL}\n")
    return table


_due: list[Any] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: before a file or a folder is opened, and before it is listed."""
    if not _due or event not in ("open", "os.scandir", "os.listdir"):
        return
    names, swap = _due[0], _due[1]
    if os.path.basename(str(arguments[0])) not in names:
        return
    _due[2] -= 1
    if _due[2] == 0:
        _due[3].append(True)
        _due.clear()
        swap()


sys.addaudithook(_watch)


@contextlib.contextmanager
def _at_opening(root: Path, number: int, swap: Callable[[], None]) -> Iterator[list[bool]]:
    """Swap before the ``number``-th opening of a name of the folder; filled once that is done."""
    done: list[bool] = []
    names = {root.name, *(path.name for path in root.iterdir())}
    _due[:] = [names, swap, number, done]
    try:
        yield done
    finally:
        _due.clear()
