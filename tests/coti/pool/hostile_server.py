"""A real web server on loopback that does what hostile and clumsy servers do.

It listens twice: on 127.0.0.1, which the tests allow and treat as the public web, and on
127.0.0.2, which stands for the inside and must never be asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

PUBLIC, INSIDE = "127.0.0.1", "127.0.0.2"


class Names(AbstractResolver):
    """Name resolution of the tests: each name's answers in turn, the last one for ever."""

    def __init__(self, answers: dict[str, list[list[str]]]) -> None:
        self.answers = answers
        self.asked: Counter[str] = Counter()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The next answer."""
        if host not in self.answers:
            raise OSError(socket.EAI_NONAME, "no such name")
        turn = min(self.asked[host], len(self.answers[host]) - 1)
        self.asked[host] += 1
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
            for address in self.answers[host][turn]
        ]

    async def close(self) -> None:
        """Nothing is held."""


class HostileServer:
    """``url(path)`` on the allowed address; ``hits`` and ``inside_hits`` count requests."""

    def __init__(self, image: bytes) -> None:
        self.image = image
        self.hits: Counter[str] = Counter()
        self.inside_hits: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.most_at_once = 0
        self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def url(self, path: str, host: str = PUBLIC) -> str:
        """A URL on the allowed address, or on another name or address with the same port."""
        return f"http://{host}:{self.port}/{path}"

    def start(self) -> None:
        """Listen on both addresses, same port."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def stop(self) -> None:
        """Close everything."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(20)
        self._raw.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        public = web.TCPSite(self._runner, PUBLIC, 0)
        await public.start()
        self.port = int(self._runner.addresses[0][1])
        await web.TCPSite(self._runner, INSIDE, self.port).start()
        self._raw = await asyncio.start_server(self._raw_answer, PUBLIC, 0)
        self.raw_port = int(self._raw.sockets[0].getsockname()[1])

    async def _raw_answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers that no web framework would send; the path says which."""
        line = (await reader.readline()).decode("latin-1")
        while (await reader.readline()).strip():
            pass
        path = line.split(" ")[1].lstrip("/")
        self.hits[path] += 1
        body = self.image
        if re.fullmatch("to/([0-9a-f]{2})*", path):  # bytes that no web framework sends
            target = bytes.fromhex(path.removeprefix("to/"))
            answers = {path: b"HTTP/1.1 302 Found\r\nLocation: " + target + b"\r\n\r\n"}
        elif re.fullmatch("raw/([0-9a-f]{2})*", path):
            answers = {path: bytes.fromhex(path.removeprefix("raw/"))}
        else:
            answers = self._raw_answers(body)
        with contextlib.suppress(ConnectionError):
            writer.write(answers.get(path, b"HTTP/1.1 404 Not Found\r\n\r\n"))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    @staticmethod
    def _raw_answers(body: bytes) -> dict[str, bytes]:
        return {
            "lies-long": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) + 999)
            + body,
            "lies-short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + body,
            "no-http": b"SSH-2.0-OpenSSH_9.6\r\n" + body,
            "silent": b"",
            "bad-chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n" + body,
            "endless-header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
            "odd-type": b"HTTP/1.1 200 OK\r\nContent-Type: t\xe9xt/\xff\r\n\r\n" + body,
            "odd-reason": b"HTTP/1.1 404 \xff\xfe\xed\xa0\x80\r\nX-Robots-Tag: \xff\r\n\r\n",
            "odd-headers": b"HTTP/1.1 200 OK\r\nX-Robots-Tag: \xe9,\xff: \xfe\r\nServer: \xff\r\n"
            b"tdm-policy: \xff\r\n\r\n" + body,
            "odd-agent": b"HTTP/1.1 200 OK\r\nX-Robots-Tag: \xff\r\nX-Robots-Tag: NoAI\r\n\r\n"
            + body,
            "negative": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + body,
        }

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        assert request.transport is not None
        if request.transport.get_extra_info("sockname")[0] == INSIDE:
            self.inside_hits[path] += 1
            return web.Response(body=self.image, content_type="image/png")
        self.hits[path] += 1
        self.agents.add(request.headers.get("User-Agent", ""))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._respond(request, path)
        finally:
            self._at_once -= 1

    async def _respond(self, request: web.Request, path: str) -> web.StreamResponse:
        what, _, rest = path.partition("/")
        good = web.Response(body=self.image, content_type="image/png")
        if what == "status":
            return web.Response(status=int(rest), text="no", headers=request.query)
        if what == "flaky":  # fails until the third time
            return good if self.hits[path] >= 3 else web.Response(status=503)
        if what == "later":
            if self.hits[path] >= 2:
                return good
            return web.Response(status=429, headers={"Retry-After": "1"})
        if what == "to":
            location = {"Location": request.query["url"]}
            return web.Response(status=302, headers={**request.query, **location})
        if what == "loop":
            return web.Response(status=302, headers={"Location": f"/loop/{int(rest or 0) + 1}"})
        if what == "headers":
            good.headers.extend(request.query)
        elif what == "gzipped":
            packed = gzip.compress(self.image if not rest else bytes(int(rest)))
            return web.Response(
                body=packed, headers={"Content-Type": "image/png", "Content-Encoding": "gzip"}
            )
        elif what == "type":
            return web.Response(body=self.image, headers={"Content-Type": request.query["is"]})
        elif what == "html":
            return web.Response(text="<html>sorry</html>", content_type="image/jpeg")
        elif what == "packed":
            good.headers["Content-Encoding"] = "gzip"
        elif what in ("drip", "endless"):
            return await self._stream(request, what)
        elif what == "slow":
            await asyncio.sleep(0.15)
        return good

    async def _stream(self, request: web.Request, what: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/png"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" if what == "drip" else bytes(65_536))
                await asyncio.sleep(0.05 if what == "drip" else 0)
        return response


@contextlib.contextmanager
def hostile_server(image: bytes) -> Iterator[HostileServer]:
    """A started server."""
    server = HostileServer(image)
    server.start()
    try:
        yield server
    finally:
        server.stop()
