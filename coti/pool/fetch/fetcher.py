"""Fetching images by URL: concurrent, polite, bounded, and never into the inside.

:func:`fetch_shard` fetches a list of URLs into two files, the bytes and an index of them; both
appear whole or not at all, so a broken run goes on behind its last whole shard.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import tenacity
from aiohttp.abc import AbstractResolver

from coti.pool.fetch.addresses import AddressPolicy, PinningResolver
from coti.pool.fetch.robots import opted_out
from coti.pool.reasons import Rejected
from coti.settings import FetchSettings

__all__ = ["Fetched", "fetch_all", "fetch_shard"]

_RETRIED_STATUS = frozenset((408, 425, 429, 500, 502, 503, 504))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_LONGEST_RETRY_AFTER = 60.0


@dataclass(frozen=True)
class Fetched:
    """What came of one URL: bytes, or a reason."""

    number: int
    """Place in the list of URLs."""
    data: bytes = b""
    reason: str = ""
    detail: str = ""


class _Again(Exception):
    """Worth another try, after ``wait`` seconds at least."""

    def __init__(self, detail: str, wait: float = 0.0) -> None:
        super().__init__(detail)
        self.wait = wait


class _Hosts:
    """Per-host politeness: few requests at once, and a pause between their starts."""

    def __init__(self, settings: FetchSettings) -> None:
        self._settings = settings
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._next: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        gate = self._gates.setdefault(host, asyncio.Semaphore(self._settings.per_host))
        async with gate:
            now = asyncio.get_running_loop().time()
            start = max(now, self._next.get(host, 0.0))
            self._next[host] = start + self._settings.host_delay
            await asyncio.sleep(start - now)
            yield


async def fetch_all(
    urls: Sequence[str],
    settings: FetchSettings,
    max_bytes: int,
    *,
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[Fetched]:
    """Fetch every URL; results in the order in which they finish, one each.

    ``resolver`` stands in for the system's name resolution; its answers are checked all the same.
    """
    policy = AddressPolicy(settings.allowed_networks)
    connector = aiohttp.TCPConnector(
        resolver=PinningResolver(policy, resolver or aiohttp.ThreadedResolver()),
        use_dns_cache=False,
        limit=settings.concurrency,
    )
    hosts = _Hosts(settings)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": settings.user_agent, "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
        max_line_size=16_384,
        max_field_size=16_384,
    ) as session:
        queue: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        for item in enumerate(urls):
            queue.put_nowait(item)
        done: asyncio.Queue[Fetched | Exception] = asyncio.Queue(settings.concurrency)

        async def work() -> None:
            while not queue.empty():
                number, url = queue.get_nowait()
                try:
                    got: Fetched | Exception = await _fetch(
                        session, hosts, policy, number, url, settings, max_bytes
                    )
                except Exception as error:  # a defect of ours; whoever waits must not wait on
                    got = error
                await done.put(got)

        workers = [asyncio.create_task(work()) for _ in range(min(settings.concurrency, len(urls)))]
        try:
            for _ in urls:
                got = await done.get()
                if isinstance(got, Exception):
                    raise got
                yield got
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


async def _fetch(
    session: aiohttp.ClientSession,
    hosts: _Hosts,
    policy: AddressPolicy,
    number: int,
    url: str,
    settings: FetchSettings,
    max_bytes: int,
) -> Fetched:
    """One URL with its retries; never raises."""
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(settings.attempts),
        retry=tenacity.retry_if_exception_type(_Again),
        wait=_wait(settings),
        reraise=True,
    )
    try:
        async for attempt in retrying:
            with attempt:
                data = await _follow(session, hosts, policy, url, settings, max_bytes)
                return Fetched(number, data)
    except Rejected as rejected:
        return Fetched(number, b"", rejected.reason, rejected.detail)
    except _Again as error:
        return Fetched(number, b"", "download_failed", f"{error}, {settings.attempts} times")
    except Exception as error:  # a library's bug must not lose the row
        return Fetched(number, b"", "download_failed", f"{type(error).__name__}: {error}"[:200])
    raise AssertionError("unreachable")


async def _follow(
    session: aiohttp.ClientSession,
    hosts: _Hosts,
    policy: AddressPolicy,
    url: str,
    settings: FetchSettings,
    max_bytes: int,
) -> bytes:
    """Ask, follow redirects with every check anew, and read the body."""
    deadline = asyncio.get_running_loop().time() + settings.timeout
    for _ in range(settings.max_redirects + 1):
        host = policy.check_url(url)
        async with hosts.turn(host):
            # waiting for a turn is our own politeness and does not count
            deadline = max(deadline, asyncio.get_running_loop().time() + settings.timeout / 4)
            try:
                async with asyncio.timeout_at(deadline):
                    answer = await _ask(session, url, settings, max_bytes)
            except TimeoutError as error:
                raise Rejected("download_timeout", f"more than {settings.timeout:g} s") from error
        if isinstance(answer, bytes):
            return answer
        url = answer
    raise Rejected("download_failed", f"more than {settings.max_redirects} redirects")


async def _ask(
    session: aiohttp.ClientSession, url: str, settings: FetchSettings, max_bytes: int
) -> bytes | str:
    """The body, or where a redirect leads."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            if response.status in _REDIRECTS:
                target = response.headers.get("Location", "")
                if not target:
                    raise Rejected("download_failed", "a redirect to nowhere")
                return urljoin(url, target)
            _check_headers(response, settings, max_bytes)
            data = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                data += chunk
                if len(data) > max_bytes:
                    raise Rejected("file_too_large", f"more than {max_bytes} bytes")
            return bytes(data)
    except aiohttp.InvalidURL as error:
        raise Rejected("download_refused", "not a URL") from error
    except aiohttp.ClientConnectorDNSError as error:
        raise Rejected("download_failed", f"no address: {error.os_error.strerror}") from error
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
        raise Rejected("download_failed", f"TLS: {type(error).__name__}") from error
    except aiohttp.ClientResponseError as error:
        raise Rejected("download_failed", f"not HTTP: {error.message}"[:200]) from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise _Again(f"{type(error).__name__}: {error}"[:160]) from error


def _check_headers(response: aiohttp.ClientResponse, settings: FetchSettings, largest: int) -> None:
    status = response.status
    if status in _RETRIED_STATUS:
        raise _Again(f"HTTP {status}", _retry_after(response.headers.get("Retry-After", "")))
    if status != 200:
        raise Rejected("download_failed", f"HTTP {status}")
    tags = response.headers.getall("X-Robots-Tag", [])
    directive = opted_out(tags, settings.opt_out, settings.user_agent)
    if directive:
        raise Rejected("opt_out", f"X-Robots-Tag: {directive}")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind and not kind.startswith("image/") and kind not in _UNTYPED:
        raise Rejected("wrong_content_type", kind[:100])
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Rejected("download_failed", f"packed as {encoding[:40]!r}, which was not asked for")
    if (response.content_length or 0) > largest:
        raise Rejected("file_too_large", f"{response.content_length} bytes")


_UNTYPED = frozenset(("application/octet-stream", "binary/octet-stream", "application/binary"))


def _retry_after(value: str) -> float:
    """Seconds of a ``Retry-After`` header, a number or a date, at most a minute."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            then = parsedate_to_datetime(value)
        except (TypeError, ValueError):
            return 0.0
        from datetime import UTC, datetime

        seconds = (then - datetime.now(UTC)).total_seconds() if then.tzinfo else 0.0
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER) if seconds == seconds else 0.0


def _wait(settings: FetchSettings) -> Callable[[tenacity.RetryCallState], float]:
    """Exponential with jitter, or what the server asked for."""
    own = tenacity.wait_exponential_jitter(
        multiplier=settings.backoff, max=30.0, jitter=settings.backoff
    )

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, _Again) else 0.0
        return max(asked, float(own(state)))

    return wait


def fetch_shard(
    urls: Sequence[str],
    path: Path,
    settings: FetchSettings,
    max_bytes: int,
    *,
    resolver: AbstractResolver | None = None,
    progress: Callable[[], Any] = lambda: None,
) -> None:
    """Fetch ``urls`` into ``path.bin`` and ``path.parquet`` (number, reason, detail, offset, size).

    Nothing is done where the index is already there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    index, body = path.with_suffix(".parquet"), path.with_suffix(".bin")
    if index.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = body.with_name(f"{body.name}.{os.getpid()}.part")
    rows: list[dict[str, Any]] = []

    async def run() -> None:
        offset = 0
        with part.open("wb") as stream:
            async for got in fetch_all(urls, settings, max_bytes, resolver=resolver):
                stream.write(got.data)
                rows.append(
                    {
                        "number": got.number,
                        "reason": got.reason,
                        "detail": got.detail,
                        "offset": offset,
                        "size": len(got.data),
                    }
                )
                offset += len(got.data)
                progress()
            stream.flush()
            os.fsync(stream.fileno())

    try:
        asyncio.run(run())
        rows.sort(key=lambda row: row["number"])
        part.replace(body)
        part = index.with_name(f"{index.name}.{os.getpid()}.part")
        pq.write_table(pa.Table.from_pylist(rows), part)
        part.replace(index)
    finally:
        part.unlink(missing_ok=True)
