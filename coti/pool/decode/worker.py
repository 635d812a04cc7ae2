"""The process that decodes: ``python -m coti.pool.decode.worker CONTROL_FD LIMITS_JSON``.

It loads the libraries once and forks a child for every worker, so that a worker that had to be
killed is replaced in milliseconds. A child reads images from its socket and answers with JSON
and raw pixels: nothing that a taken-over child sends is unpickled or parsed as an image. It is
confined (:mod:`coti.pool.decode.confinement`), its memory bounded, its time watched from outside.
A new child first says what could not be confined.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import io
import json
import os
import signal
import socket
import struct
import sys

from coti.core.decoding import FORMATS
from coti.core.fitting import Fit
from coti.pool.decode.confinement import confine
from coti.pool.decode.decoder import Limits, decode_image
from coti.pool.reasons import Rejected

__all__ = ["ANSWER", "FORK", "KILL", "LENGTH", "PID", "main", "receive"]

LENGTH = struct.Struct("!Q")
"""Bytes of the image that follows."""
ANSWER = struct.Struct("!II")
"""Bytes of the JSON and of the pixels that follow."""
PID = struct.Struct("!q")
"""A process id, or the wait status of one that was ended."""
FORK, KILL = b"F", b"K"
"""Commands on the control socket: fork onto the socket sent along; end the process named."""


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes; ``EOFError`` where the other side is gone."""
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = connection.recv_into(view[done:])
        if count == 0:
            raise EOFError
        done += count
    return bytes(data)


def main(control: socket.socket, limits: Limits, memory: int) -> None:
    """Fork and end workers as told, until the other side of ``control`` closes."""
    _load_libraries(limits)
    children: set[int] = set()
    try:
        while True:
            command, sockets, _, _ = socket.recv_fds(control, 1, 1)
            if not command:
                return
            if command == FORK:
                pid = os.fork()
                if pid == 0:
                    control.close()
                    _work(socket.socket(fileno=sockets[0]), limits, memory)
                for descriptor in sockets:
                    os.close(descriptor)
                children.add(pid)
                control.sendall(PID.pack(pid))
            elif command == KILL:
                (pid,) = PID.unpack(receive(control, PID.size))
                control.sendall(PID.pack(_end(pid) if pid in children else 0))
                children.discard(pid)
    except (EOFError, ConnectionError):
        return
    finally:
        for pid in children:
            _end(pid)


def _end(pid: int) -> int:
    """Kill a child that was not reaped yet, so that its id is its own; return how it ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    try:
        return os.waitpid(pid, 0)[1]
    except ChildProcessError:
        return 0


def _work(connection: socket.socket, limits: Limits, memory: int) -> None:
    """Decode what comes until the other side closes, then end without cleaning up."""
    try:
        open_ways = confine(memory).encode()
        connection.sendall(ANSWER.pack(len(open_ways), 0) + open_ways)
        while True:
            (size,) = LENGTH.unpack(receive(connection, LENGTH.size))
            header, pixels = _answer(receive(connection, size), limits)
            text = json.dumps(header).encode()
            connection.sendall(ANSWER.pack(len(text), len(pixels)) + text)
            connection.sendall(pixels)
    except (EOFError, ConnectionError):
        os._exit(0)
    except BaseException:
        os._exit(70)


def _answer(data: bytes, limits: Limits) -> tuple[dict[str, object], bytes]:
    try:
        decoded = decode_image(data, limits)
    except Rejected as rejected:
        return {"reason": rejected.reason, "detail": rejected.detail}, b""
    except MemoryError:
        return {"reason": "decode_memory", "detail": "out of memory"}, b""
    except Exception as error:  # a parser's bug is the image's fault, and its row says so
        return {"reason": "corrupt", "detail": f"{type(error).__name__}: {error}"[:200]}, b""
    header = dataclasses.asdict(decoded)
    header["pixels"] = ""
    return header, decoded.pixels


def _load_libraries(limits: Limits) -> None:
    """Import and use everything once before the forks: a confined child cannot open a file."""
    import logging

    from PIL import Image, ImageCms

    for encoding in ("ascii", "latin-1", "cp1252", "utf-16", "utf-32"):  # of metadata
        codecs.lookup(encoding)
    logging.disable(logging.CRITICAL)
    # Pillow's own limit is twice this: out of the way, and else the same as outside of the sandbox.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, limits.max_pixels // 2)
    Image.init()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in FORMATS:
        stream = io.BytesIO()
        Image.new("RGB", (40, 40), (200, 10, 10)).save(stream, kind, exif=exif, icc_profile=profile)
        for data in (stream.getvalue(), stream.getvalue()[:60]):
            with contextlib.suppress(Rejected):
                decode_image(data, limits)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = json.loads(sys.argv[2])
    fit = Fit(**settings["limits"].pop("fit"))
    main(
        socket.socket(fileno=int(sys.argv[1])),
        Limits(**settings["limits"], fit=fit),
        int(settings["memory"]),
    )
