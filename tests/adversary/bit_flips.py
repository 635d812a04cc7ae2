"""One bit, flipped where a seed says: what a disk, a cable or memory does to a file one day.

``python -m tests.adversary.bit_flips FOLDER SEED`` flips one of some file below FOLDER.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

__all__ = ["files_of", "flip_bit", "flip_somewhere", "flipped"]


def flipped(content: bytes, seed: int) -> bytes:
    """The content with one bit flipped."""
    place = random.Random(seed).randrange(8 * len(content))
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def flip_bit(path: Path, seed: int) -> None:
    """Flip one bit of a file."""
    path.write_bytes(flipped(path.read_bytes(), seed))


def files_of(folder: Path, suffixes: tuple[str, ...] = ()) -> list[Path]:
    """The files below a folder that are not empty, sorted; of these suffixes, or of any."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    return [path for path in found if not suffixes or path.suffix in suffixes]


def flip_somewhere(folder: Path, seed: int, suffixes: tuple[str, ...] = ()) -> Path:
    """Flip one bit of one file below a folder; answers which."""
    path = random.Random(seed).choice(files_of(folder, suffixes))
    flip_bit(path, seed)
    return path


if __name__ == "__main__":
    print(flip_somewhere(Path(sys.argv[1]), int(sys.argv[2])))
