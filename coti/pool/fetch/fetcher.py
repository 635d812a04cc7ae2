"""Fetching images by URL: concurrent, polite, bounded, and never into the inside."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp
import tenacity
from aiohttp.abc import AbstractResolver
from yarl import URL

from coti.core.redaction import redacted
from coti.core.shown_names import printable
from coti.pool.fetch.addresses import AddressPolicy, PinningResolver
from coti.pool.reasons import Rejected
from coti.pool.refusals import refusal_in_headers
from coti.settings import FetchSettings

__all__ = ["Fetched", "fetch_all"]

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
        socket_factory=policy.socket_for,
    )
    hosts = _Hosts(settings)
    async with aiohttp.ClientSession(
        connector=connector,
        request_class=policy.request_class(),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": settings.user_agent, "Accept-Encoding": "identity"},
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
                if not data:
                    raise Rejected("empty_file", "the answer is empty")
                return Fetched(number, data)
    except Rejected as rejected:
        reason, detail = rejected.reason, rejected.detail
    except _Again as error:
        reason, detail = "download_failed", f"{error}, {settings.attempts} times"
    except Exception as error:  # a library's bug must not lose the row
        reason, detail = "download_failed", f"{type(error).__name__}: {error}"
    # Hosts, headers and what libraries say of them are a stranger's text.
    return Fetched(number, b"", reason, printable(redacted(" ".join(detail.split())))[:200])


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
    asked = policy.check_url(url)
    for _ in range(settings.max_redirects + 1):
        async with hosts.turn(str(asked.raw_host).rstrip(".")):
            # waiting for a turn is our own politeness and does not count
            deadline = max(deadline, asyncio.get_running_loop().time() + settings.timeout / 4)
            try:
                async with asyncio.timeout_at(deadline):
                    answer = await _ask(session, asked, settings, max_bytes)
            except TimeoutError as error:
                raise Rejected("download_timeout", f"more than {settings.timeout:g} s") from error
        if isinstance(answer, bytes):
            return answer
        asked = policy.check_url(answer, asked)
    raise Rejected("download_failed", f"more than {settings.max_redirects} redirects")


async def _ask(
    session: aiohttp.ClientSession, url: URL, settings: FetchSettings, max_bytes: int
) -> bytes | str:
    """The body, unpacked where the server packed it unasked, or where a redirect leads."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            # A redirect is an answer of the owner's, too; an error page is none about the image.
            if response.status in (200, *_REDIRECTS) and (
                refusal := refusal_in_headers(response.headers, settings)
            ):
                raise Rejected("opt_out", refusal)
            if response.status in _REDIRECTS:
                target = response.headers.get("Location", "")
                if not target:
                    raise Rejected("download_failed", "a redirect to nowhere")
                return target
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
        said = "cannot be unpacked" if "content-encoding" in error.message else "not HTTP"
        raise Rejected("download_failed", f"{said}: {error.message}") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        if "content-encoding" in str(error):
            raise Rejected("download_failed", f"cannot be unpacked: {error}") from error
        raise _Again(f"{type(error).__name__}: {error}"[:160]) from error


def _check_headers(response: aiohttp.ClientResponse, settings: FetchSettings, largest: int) -> None:
    status = response.status
    if status in _RETRIED_STATUS:
        raise _Again(f"HTTP {status}", _retry_after(response.headers.get("Retry-After", "")))
    if status != 200:
        raise Rejected("download_failed", f"HTTP {status}")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind and not kind.startswith("image/") and kind not in _UNTYPED:
        raise Rejected("wrong_content_type", kind[:100])
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
