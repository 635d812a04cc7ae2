"""A real S3 server (SeaweedFS) and a proxy before it that throttles and cuts connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ACCESS, SECRET = "coti-test", "coti-test-secret"


def free_port() -> int:
    """A port that nobody listens on, whose neighbour 10,000 above (gRPC) is free as well."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            if port + 10_000 > 65_535:
                continue
            with contextlib.suppress(OSError):
                two.bind(("127.0.0.1", port + 10_000))
                return port


def client(endpoint: str, secret: str = SECRET, access: str = ACCESS) -> Any:
    """A boto3 client for the server."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        region_name="us-east-1",
    )


@contextlib.contextmanager
def s3_server(folder: Path, identities: dict[str, Any] | None = None) -> Iterator[str]:
    """The endpoint of a SeaweedFS server with one identity or those given, stopped afterwards."""
    identities = identities or {
        "identities": [
            {
                "name": "tests",
                "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }
        ]
    }
    config = folder / "s3.json"
    config.write_text(json.dumps(identities))
    ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port", "s3.port")}
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("weed")),
                "server",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                f"-dir={folder}",
                "-s3",
                f"-s3.config={config}",
                # As many volumes as the disk has room for: with a fixed number the store is full
                # after so many times the limit, and answers InternalError from then on.
                "-volume.max=0",
                "-master.volumeSizeLimitMB=256",
                # Not asked for, and on fixed ports: a second server would die of them.
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                *(f"-{name}={port}" for name, port in ports.items()),
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                client(endpoint).list_buckets()
                break
            except Exception:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        yield endpoint
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Proxy:
    """Passes HTTP on to ``target``, unless told otherwise.

    ``plan[path][turn]`` and ``spoil(method, how many of it there were)`` may say

    - ``throttle``: a 503;
    - ``cut``: an upload's body ends half way, else the answer's does, or it is lost if it has none;
    - ``lose``: the server does what is asked, its answer is lost.

    While ``down``, every connection is closed at once. ``done`` counts what was really done:
    ``throttle``, ``cut upload``, ``cut answer``, ``lose`` and ``refuse``.
    """

    def __init__(self, target: str) -> None:
        self._host, _, port = target.removeprefix("http://").partition(":")
        self._port = int(port)
        self.plan: dict[str, list[str]] = {}
        self.asked: Counter[str] = Counter()
        self.methods: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.down = False
        self.spoil: Callable[[str, int], str] = lambda method, turn: ""
        self.address = ""
        self._loop = asyncio.new_event_loop()
        # The loop itself holds its tasks weakly.
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> str:
        """Listen; returns the endpoint."""
        self._thread.start()
        future = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        )
        self._server = future.result(10)
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self.address

    def stop(self) -> None:
        """Close."""

        async def close() -> None:
            self._server.close()
            # What was accepted just before has no task yet, and transports close a round later.
            await asyncio.sleep(0.1)
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
                await asyncio.sleep(0.1)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one request on; whatever happens, both connections are closed afterwards."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        both = [writer]
        try:
            # Cancelled by `stop` alone; Python 3.11 complains in its log of a task that ends so.
            ends = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
            with contextlib.suppress(*ends):
                await self._answer(reader, writer, both)
        finally:
            for each in both:
                each.close()
            self._tasks.discard(task)

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        opened: list[asyncio.StreamWriter],
    ) -> None:
        """One request a connection: the head is read, perhaps spoilt, else both ways are piped."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, *_ = head.decode("latin-1").split(" ")
        path = target.partition("?")[0]
        turns = self.plan.get(path, [])
        what = turns[self.asked[path]] if self.asked[path] < len(turns) else ""
        self.asked[path] += 1
        self.methods[method] += 1
        what = what or self.spoil(method, self.methods[method])
        if self.down:
            self.done["refuse"] += 1
            return
        if what == "throttle":
            self.done["throttle"] += 1
            body = b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>"
            writer.write(
                b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: "
                + str(len(body)).encode()
                + b"\r\n\r\n"
                + body
            )
            await writer.drain()
            return
        source, upstream = await asyncio.open_connection(self._host, self._port)
        opened.append(upstream)
        upstream.write(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        if what == "cut" and (size := _body_size(head)):
            await self._cut_upload(reader, writer, upstream, head, size)
            return
        body_on_its_way = asyncio.create_task(_pass_on(reader, upstream))
        try:
            await self._pass_back(source, writer, method, what)
        finally:
            body_on_its_way.cancel()

    async def _cut_upload(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: asyncio.StreamWriter,
        head: bytes,
        size: int,
    ) -> None:
        """Half of a request's body, and no answer."""
        if b"\nexpect: 100-continue" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        upstream.write(await reader.readexactly(size // 2))
        await upstream.drain()
        self.done["cut upload"] += 1

    async def _pass_back(
        self, source: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, what: str
    ) -> None:
        """The server's answer, as much of it as ``what`` leaves."""
        head = await source.readuntil(b"\r\n\r\n")
        while head.split(b" ")[1] == b"100":
            writer.write(head)
            head = await source.readuntil(b"\r\n\r\n")
        size = 0 if method == "HEAD" else _body_size(head)
        if what == "lose" or (what == "cut" and size == 0):
            self.done["lose" if what == "lose" else "cut answer"] += 1
            return
        writer.write(head)
        left = min(100, size // 2) if what == "cut" else 1 << 40
        while left > 0 and (data := await source.read(min(left, 65_536))):
            writer.write(data)
            await writer.drain()
            left -= len(data)
        if what == "cut":
            self.done["cut answer"] += 1


def _body_size(head: bytes) -> int:
    """Bytes of the body that a head announces; of one in chunks, of unknown size, some."""
    lines = head.lower().split(b"\r\n")
    for line in lines:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 200 if b"transfer-encoding: chunked" in lines else 0


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A request's body, until its sender has no more."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
