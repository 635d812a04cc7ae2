from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from coti.pool.decode.decoder import Limits
from coti.pool.decode.sandbox import DecodePool
from coti.pool.reasons import Rejected
from tests.coti.pool.conftest import encoded, image

GOOD = encoded(image(1))


def slow() -> bytes:
    """An image that takes a second or more to decode: 36 million pixels, progressive JPEG."""
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((6000, 6000), Image.Resampling.NEAREST)
    return encoded(image, "JPEG", quality=95, progressive=True)


@pytest.fixture(scope="module")
def heavy() -> bytes:
    """One slow image for all tests."""
    return slow()


@pytest.fixture
def started() -> Iterator[Callable[..., DecodePool]]:
    """Pools that are closed after the test."""
    pools: list[DecodePool] = []

    def start(**changes: float) -> DecodePool:
        options = {"workers": 1, "timeout": 60.0, "memory": 2_000_000_000, **changes}
        pool = DecodePool(
            Limits(32, measure=False),
            workers=int(options["workers"]),
            timeout=options["timeout"],
            memory=int(options["memory"]),
        )
        pools.append(pool)
        return pool

    yield start
    for pool in pools:
        pool.close()


def reason(pool: DecodePool, data: bytes) -> str:
    """The reason for which ``data`` is refused."""
    with pytest.raises(Rejected) as caught:
        pool.decode(data)
    return caught.value.reason


def worker_of(pool: DecodePool) -> int:
    """The process id of the pool's one worker, while it is at work."""
    children = f"/proc/{pool.process_id}/task/{pool.process_id}/children"
    while True:
        with open(children) as stream:
            found = stream.read().split()
        if found:
            return int(found[0])
        time.sleep(0.01)


def test_an_image_that_takes_too_long_is_refused_and_the_next_one_decoded(
    started: Callable[..., DecodePool], heavy: bytes
) -> None:
    """A stalled worker is killed at the timeout and replaced."""
    pool = started(timeout=60.0)
    pool.decode(GOOD)
    pool._timeout = 0.2
    begun = time.monotonic()
    assert reason(pool, heavy) == "decode_timeout"
    assert time.monotonic() - begun < 10
    pool._timeout = 60.0
    assert pool.decode(GOOD).width == 48


def test_an_image_that_needs_too_much_memory_is_refused(
    started: Callable[..., DecodePool], heavy: bytes
) -> None:
    """The limit on the address space turns into a reason, and the worker lives on."""
    pool = started(memory=60_000_000)
    assert reason(pool, heavy) in ("decode_memory", "decode_crashed")
    assert pool.decode(GOOD).width == 48


def test_a_worker_that_dies_costs_only_its_image(
    started: Callable[..., DecodePool], heavy: bytes
) -> None:
    """A worker killed in the middle of an image is reported with its signal and replaced."""
    pool = started()
    pool.decode(GOOD)

    def strike() -> None:
        time.sleep(0.1)
        os.kill(worker_of(pool), signal.SIGSEGV)

    threading.Thread(target=strike).start()
    with pytest.raises(Rejected, match="SIGSEGV") as caught:
        pool.decode(heavy)
    assert caught.value.reason == "decode_crashed"
    assert pool.decode(GOOD).width == 48


def test_the_whole_program_may_die(started: Callable[..., DecodePool]) -> None:
    """Where the forking process itself is gone it is started again."""
    pool = started()
    pool.decode(GOOD)
    os.kill(pool.process_id, signal.SIGKILL)
    pool._process.wait()
    assert reason(pool, GOOD) == "decode_crashed"
    assert pool.decode(GOOD).width == 48


def test_workers_end_with_the_pool(started: Callable[..., DecodePool]) -> None:
    """Closing the pool leaves no process behind."""
    pool = started()
    pool.decode(GOOD)
    child = worker_of(pool)
    pool.close()
    assert pool._process.returncode == 0
    assert not os.path.exists(f"/proc/{child}")


def test_many_threads_share_the_workers(started: Callable[..., DecodePool]) -> None:
    """Answers go to whoever asked, however many ask at once."""
    from concurrent.futures import ThreadPoolExecutor

    pool = started(workers=2)
    data = [encoded(image(seed, (20 + seed, 30))) for seed in range(60)]
    with ThreadPoolExecutor(8) as threads:
        widths = [decoded.width for decoded in threads.map(pool.decode, data)]
    assert widths == [20 + seed for seed in range(60)]
