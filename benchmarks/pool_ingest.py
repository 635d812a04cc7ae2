"""Ingestion: images per second and core, stage by stage, against the bare work.

    python -m benchmarks.pool_ingest                      # 400 photographs of 640x480, JPEG
    python -m benchmarks.pool_ingest --images 1000 --size 1024x768

The same local files, in turns; rates are images per CPU second, of this process and of the
workers together, so that what else the machine does matters little:

``naive``       a Pillow loop: open, load, convert, resize, save; no checks.
``bare``        what nobody can avoid: read, sha256, decode every pixel.
``checked``     ours, in this process: header checks, verify, fresh load, EXIF, RGB.
``measured``    and perceptual hash, thumbnail, quality signals.
``sanitised``   and the centre square resized, as raw pixels.
``stored``      and PNG and Parquet: all of the work of ``ingest``, still in this process.
``sandboxed``   ``stored`` through one worker process, as ``ingest`` does it, workers started.
``img2dataset`` read, sha256 and its own resizer (decode, crop, resize, JPEG), the same bytes, with
                ``--img2dataset PYTHON``, a Python of an environment that has it:
                ``python -m venv E; E/bin/pip install img2dataset 'albumentations<2'``.

Medians over the rounds; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.result import say, table
from coti.pool.decode.decoder import Limits, decode_image
from coti.pool.decode.sandbox import DecodePool
from coti.pool.pool_images import ImageWriter, encode_png


def photographs(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """JPEG files with the detail of photographs: smooth shapes and noise."""
    paths = []
    for number in range(count):
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
        noise = random.normal(0, 8, (size[1], size[0], 1))
        path = folder / f"{number:05d}.jpg"
        Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).save(path, quality=88)
        paths.append(path)
    return paths


def ways(paths: list[Path], folder: Path, resolution: int) -> dict[str, Callable[[], Any]]:
    """Each way to go through all images once."""

    def naive() -> None:
        for path in paths:
            image = Image.open(path).convert("RGB").resize((resolution, resolution))
            image.save(io.BytesIO(), "PNG", compress_level=1)

    def bare() -> None:
        for path in paths:
            data = path.read_bytes()
            hashlib.sha256(data).hexdigest()
            Image.open(io.BytesIO(data)).load()

    def ours(limits: Limits, store: bool = False) -> Callable[[], None]:
        def run() -> None:
            writer = ImageWriter(folder / "images.parquet") if store else None
            for path in paths:
                data = path.read_bytes()
                name = hashlib.sha256(data).hexdigest()
                decoded = decode_image(data, limits)
                if writer is not None:
                    writer.add(name, encode_png(decoded.pixels, resolution, resolution))
            if writer is not None:
                writer.close()

        return run

    return {
        "naive": naive,
        "bare": bare,
        "checked": ours(Limits(resolution, measure=False, pixels=False)),
        "measured": ours(Limits(resolution, pixels=False)),
        "sanitised": ours(Limits(resolution)),
        "stored": ours(Limits(resolution), store=True),
    }


def sandboxed(paths: list[Path], folder: Path, resolution: int, pool: DecodePool) -> None:
    """All of the work through a worker process, with reading and storing beside it."""
    writer = ImageWriter(folder / "images.parquet")

    def one(path: Path) -> tuple[str, bytes]:
        data = path.read_bytes()
        name = hashlib.sha256(data).hexdigest()
        return name, encode_png(pool.decode(data).pixels, resolution, resolution)

    with ThreadPoolExecutor(3) as threads:
        for name, png in threads.map(one, paths):
            writer.add(name, png)
    writer.close()


class Foreign:
    """img2dataset's resizer in an environment of its own: its pins and ours don't go together."""

    def __init__(self, python: str, paths: list[Path], resolution: int) -> None:
        code = (
            "import hashlib, io, sys, time\n"
            "from img2dataset.resizer import Resizer\n"
            "resizer = Resizer(int(sys.argv[1]), 'center_crop', False)\n"
            "for _ in sys.stdin:\n"
            "    begun = time.process_time()\n"
            "    for path in sys.argv[2:]:\n"
            "        data = open(path, 'rb').read()\n"
            "        hashlib.sha256(data).hexdigest()\n"
            "        if resizer(io.BytesIO(data))[-1]:\n"
            "            sys.exit('img2dataset failed on ' + path)\n"
            "    print(time.process_time() - begun, flush=True)\n"
        )
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-c", code, str(resolution), *map(str, paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self) -> float:
        """CPU seconds of one turn through all images."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End its process."""
        self._process.communicate()


def main() -> None:
    """Measure every way in turns and print a table of stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--img2dataset", metavar="PYTHON", help="Python that has img2dataset")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = photographs(folder, options.images, (width, height))
        every = ways(paths, folder, options.resolution)
        decode_image(paths[0].read_bytes(), Limits(options.resolution))  # imports what it needs
        foreign = None
        if options.img2dataset:
            foreign = Foreign(options.img2dataset, paths, options.resolution)
        limits = Limits(options.resolution)
        seconds: dict[str, list[float]] = {way: [] for way in [*every, "sandboxed"]}
        if foreign is not None:
            seconds["img2dataset"] = []
        start = time.perf_counter()
        with DecodePool(limits, workers=1, timeout=60, memory=2_000_000_000) as pool:
            pool.decode(paths[0].read_bytes())
            starting = time.perf_counter() - start
            every["sandboxed"] = lambda: sandboxed(paths, folder, options.resolution, pool)
            for _ in range(options.rounds):
                for way, run in every.items():
                    # CPU time, ours and the workers', since other programs share the core
                    before = _cpu(pool)
                    run()
                    seconds[way].append(_cpu(pool) - before)
                if foreign is not None:
                    seconds["img2dataset"].append(foreign.seconds())
        if foreign is not None:
            foreign.close()
    rates = {way: options.images / statistics.median(some) for way, some in seconds.items()}
    foreign_ratio = {}
    if "img2dataset" in rates:
        foreign_ratio = {"stored_over_img2dataset": rates["stored"] / rates["img2dataset"]}
    rows = [[way, f"{rate:.1f}", f"{rate / rates['bare']:.2f}"] for way, rate in rates.items()]
    say(
        f"{options.images} images of {options.size}, to {options.resolution}; starting a worker: "
        f"{starting:.2f} s\n\n{table(['way', 'images per CPU second', 'of the bare work'], rows)}",
        {
            "benchmark": "pool_ingest",
            **foreign_ratio,
            "images_per_cpu_second": rates,
            "checked_over_bare": rates["checked"] / rates["bare"],
            "sandboxed_over_stored": rates["sandboxed"] / rates["stored"],
            "stored_over_naive": rates["stored"] / rates["naive"],
            "worker_start_seconds": starting,
        },
    )


def _cpu(pool: DecodePool) -> float:
    """CPU seconds of this process and of the decoding program's children."""
    total = time.process_time()
    tick = os.sysconf("SC_CLK_TCK")
    root = pool.process_id
    children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    for child in [str(root), *children]:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / tick
    return total


if __name__ == "__main__":
    main()
