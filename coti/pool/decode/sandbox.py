"""Decoding in worker processes that may crash, hang or run out of memory without harm.

:class:`DecodePool` hands images to children of :mod:`coti.pool.decode.worker`. A child that dies or
overstays ``timeout`` is killed and replaced, and only the image it had in hand is rejected.
The workers are their own program rather than :mod:`multiprocessing`'s, whose children import the
caller's main module (zenml's command, seconds each) and whose answers are pickles.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from tqdm import tqdm

from coti.core.checkout import PLACE
from coti.core.errors import PoolError
from coti.pool.decode.decoder import Decoded, Limits
from coti.pool.decode.worker import ANSWER, FORK, KILL, LENGTH, PID, receive
from coti.pool.reasons import Rejected

__all__ = ["DecodePool"]

_START_TIMEOUT = 120.0
_HEADER_LIMIT = 1 << 20
_ENVIRONMENT = (
    *("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"),
    *("LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"),
)
"""All that Python and the libraries need to start; what else there is, is none of a decoder's."""


@dataclass
class _Worker:
    connection: socket.socket
    pid: int


class DecodePool:
    """``decode(data)`` from any number of threads; ``workers`` images at once.

    ``timeout`` is in seconds an image, ``memory`` in bytes a worker on top of the libraries.
    """

    def __init__(self, limits: Limits, *, workers: int, timeout: float, memory: int) -> None:
        self._limits, self._timeout, self._memory = limits, timeout, memory
        self._most_pixels = max(limits.max_pixels, limits.resolution**2)
        self._lock = threading.Lock()
        self._warned = False
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)  # forked when first needed
        self._process, self._control = self._start()

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int:
        """The program whose children are the workers."""
        return self._process.pid

    def close(self) -> None:
        """End all workers."""
        self._control.close()
        while True:
            try:
                worker = self._idle.get_nowait()
            except queue.Empty:
                break
            if worker is not None:
                worker.connection.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def decode(self, data: bytes) -> Decoded:
        """Decode one image in a worker; raises :class:`Rejected` with the reason."""
        worker = self._idle.get()
        try:
            worker = worker or self._fork()
            try:
                return self._ask(worker, data)
            except TimeoutError:
                self._end(worker)
                worker = None
                seconds = f"more than {self._timeout:g} s"
                raise Rejected("decode_timeout", seconds) from None
            except (EOFError, OSError, ValueError):
                status, worker = self._end(worker), None
                raise Rejected("decode_crashed", _how(status)) from None
        finally:
            self._idle.put(worker)

    def _ask(self, worker: _Worker, data: bytes) -> Decoded:
        connection, deadline = worker.connection, time.monotonic() + self._timeout
        connection.settimeout(self._timeout)
        connection.sendall(LENGTH.pack(len(data)))
        connection.sendall(data)
        header_size, size = ANSWER.unpack(_receive_until(connection, ANSWER.size, deadline))
        if header_size > _HEADER_LIMIT:
            raise ValueError("header too long")
        header = json.loads(_receive_until(connection, header_size, deadline))
        if "reason" in header:
            raise Rejected(str(header["reason"]), str(header["detail"]))
        pixels = self._limits.resolution**2 or int(header["width"]) * int(header["height"])
        if size != (3 * pixels if self._limits.pixels else 0) or pixels > self._most_pixels:
            raise ValueError("wrong number of pixels")
        return Decoded(
            width=int(header["width"]),
            height=int(header["height"]),
            format=str(header["format"]),
            mode=str(header["mode"]),
            detail=str(header["detail"]),
            phash=str(header["phash"]),
            thumbnail=str(header["thumbnail"]),
            signals={str(name): float(value) for name, value in header["signals"].items()},
            whole=str(header["whole"]),
            pixels=_receive_until(connection, size, deadline),
        )

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        settings = {"limits": dataclasses.asdict(self._limits), "memory": self._memory}
        root = str(PLACE)
        environment = {
            **{name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "Agg",
        }
        try:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-W", "ignore", "-m", "coti.pool.decode.worker"),
                    *(str(theirs.fileno()), json.dumps(settings)),
                ],
                pass_fds=(theirs.fileno(),),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise PoolError(f"Decoding processes cannot be started: {error}.") from error
        finally:
            theirs.close()
        ours.settimeout(_START_TIMEOUT)
        return process, ours

    def _fork(self) -> _Worker:
        with self._lock:
            for attempt in (1, 2):
                ours, theirs = socket.socketpair()
                try:
                    socket.send_fds(self._control, [FORK], [theirs.fileno()])
                    (pid,) = PID.unpack(receive(self._control, PID.size))
                    self._warn(ours)
                    return _Worker(ours, pid)
                except (EOFError, OSError) as error:
                    ours.close()
                    self._control.close()
                    self._process.kill()
                    said = self._process.communicate()[1].decode(errors="replace").strip()
                    if attempt == 2:
                        last = said.splitlines()[-1] if said else str(error) or "no answer"
                        raise PoolError(f"Decoding processes cannot be started: {last}.") from error
                    self._process, self._control = self._start()
                finally:
                    theirs.close()
        raise AssertionError("unreachable")

    def _warn(self, connection: socket.socket) -> None:
        """Say, once, where a new worker is less confined than it should be."""
        deadline = time.monotonic() + _START_TIMEOUT
        size = ANSWER.unpack(_receive_until(connection, ANSWER.size, deadline))[0]
        found = _receive_until(connection, min(size, _HEADER_LIMIT), deadline).decode()
        if found and not self._warned:
            self._warned = True
            tqdm.write(
                "Images are decoded in processes that are less confined than they should be "
                f"({found}): decode what you do not trust on another machine.",
                file=sys.stderr,
            )

    def _end(self, worker: _Worker) -> int:
        """Kill and reap; the wait status, or 0 where the whole program is gone."""
        worker.connection.close()
        with self._lock, contextlib.suppress(EOFError, OSError):
            self._control.sendall(KILL)
            self._control.sendall(PID.pack(worker.pid))
            (status,) = PID.unpack(receive(self._control, PID.size))
            return int(status)
        return 0


def _receive_until(connection: socket.socket, size: int, deadline: float) -> bytes:
    """Exactly ``size`` bytes before the deadline, or ``TimeoutError``."""
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        count = connection.recv_into(view[done:])
        if count == 0:
            raise EOFError
        done += count
    return bytes(data)


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"its process was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"its process ended with status {os.waitstatus_to_exitcode(status)}"
