from __future__ import annotations

import ast
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from coti.core.decoding import FORMATS
from coti.pool.decode.decoder import Limits, decode_image
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


TAKEN_OVER = """
import coti.pool.decode.confinement as confinement
import coti.pool.decode.decoder as decoder
from coti.pool.reasons import Rejected

def decode_image(data, limits, good=decoder.decode_image):
    if not data.startswith(b"return "):
        return good(data, limits)
    scope = {}
    exec("def attack():\\n " + data.decode(), scope)
    try:
        raise Rejected("corrupt", repr(scope["attack"]()))
    except (OSError, ValueError, LookupError) as error:
        raise Rejected("decode_crashed", repr(error))

decoder.decode_image = decode_image
"""
"""A decoder that runs what the image says: put before the worker's own start."""

NO_FILTER = TAKEN_OVER + "confinement._ARCHITECTURES.clear()"

SECRETS = [
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN"),
    *("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI", "ZENML_STORE_URL", "ZENML_STORE_API_KEY"),
    *("DATABASE_URL", "GITHUB_PAT", "SSH_AUTH_SOCK", "HTTPS_PROXY", "KUBECONFIG", "SIGNED_URL"),
    "COTI_ANYTHING",
]

FILES_AND_NETWORK = [
    "open('/etc/passwd').read()",
    "open({folder!r} + '/written', 'w')",
    "__import__('os').listdir('/')",
    "open('/proc/self/environ', 'rb').read()",
    "open('/proc/{main}/environ', 'rb').read()",
    "open('/proc/{main}/mem', 'r+b')",
    "__import__('socket').socket()",
    "__import__('socket').socketpair()",
    "__import__('socket').create_connection(('127.0.0.1', {port}), 1)",
    "__import__('os').pipe()",
    "__import__('resource').setrlimit(7, (100, 100)) or open('/etc/passwd')",
]
PROCESSES = [
    "__import__('os').fork()",
    "__import__('os').kill({main}, 0)",
    "__import__('os').execv('/bin/true', ['true'])",
    "__import__('os').unlink({folder!r} + '/kept')",
    "__import__('os').mkdir({folder!r} + '/made')",
    "__import__('os').getcwd()",
]


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces and filters are Linux's")
@pytest.mark.parametrize("how", [TAKEN_OVER, NO_FILTER], ids=["filter", "no filter"])
def test_a_taken_over_decoder_finds_no_secret_and_reaches_nothing(
    how: str,
    started: Callable[..., DecodePool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither environment nor file nor network nor process; without the filter, which is said,
    namespace and limits keep files and network away.
    """
    (tmp_path / "sitecustomize.py").write_text(how)
    (tmp_path / "kept").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in SECRETS:
        monkeypatch.setenv(name, "planted-value")
    with socket.create_server(("127.0.0.1", 0)) as server:
        pool = started()
        filled = {
            "folder": str(tmp_path),
            "main": os.getpid(),
            "port": server.getsockname()[1],
        }
        with pytest.raises(Rejected) as caught:
            pool.decode(b"return dict(__import__('os').environ)")
        assert caught.value.reason == "corrupt"
        assert "planted-value" not in caught.value.detail
        assert not set(SECRETS) & set(ast.literal_eval(caught.value.detail))
        for attack in FILES_AND_NETWORK + PROCESSES * (how == TAKEN_OVER):
            with pytest.raises(Rejected) as caught:
                pool.decode(f"return {attack.format_map(filled)}".encode())
            assert caught.value.reason == "decode_crashed", (attack, caught.value.detail)
    assert pool.decode(GOOD).width == 48
    assert (tmp_path / "kept").exists()
    assert not (tmp_path / "written").exists()
    assert ("less confined" in capsys.readouterr().err) == (how == NO_FILTER)


def test_every_format_is_decoded_with_all_that_a_file_may_carry(
    started: Callable[..., DecodePool],
) -> None:
    """Whatever a decoder loads late is there before the child is confined: profile, EXIF, alpha,
    threads.
    """
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    pool = started()
    for kind in FORMATS:
        for mode in ("RGB", "RGBA", "L"):
            whole = image(1, (600, 24)).convert("RGB" if (kind, mode) == ("JPEG", "RGBA") else mode)
            data = encoded(whole, kind, icc_profile=profile, exif=exif)
            assert pool.decode(data) == decode_image(data, Limits(32, measure=False))
