"""URLs that want inside: addresses in every spelling, directly and behind a redirect."""

from __future__ import annotations

import asyncio
import random as rng
import re
import socket
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from aiohttp.abc import AbstractResolver, ResolveResult

from coti.pool.fetch.fetcher import Fetched, fetch_all
from coti.pool.reasons import REASONS
from coti.settings import FetchSettings
from tests.adversary.connections import connections
from tests.adversary.lasting import lasting
from tests.coti.pool.conftest import encoded, image
from tests.coti.pool.hostile_server import HostileServer, hostile_server

__all__ = ["ALLOWED", "INSIDE", "attack", "attack_by_answers", "hostile_answers", "hostile_urls"]

_AT_ONCE = 50
"""Inputs of an attack: as many as are fetched side by side."""

ALLOWED = "127.0.0.1"
"""The one address that may be connected to; the tests' server listens on it."""
INSIDE = (
    "127.0.0.2",
    "0.0.0.0",
    "10.0.0.7",
    "172.16.3.4",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "192.0.0.192",
    "192.88.99.1",
    "161.26.0.10",
    "166.9.1.2",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
)
"""This machine, private networks, clouds' metadata services and platform ranges."""
_INSIDE_6 = (
    "::", "::1", "::127.0.0.2", "::ffff:0:127.0.0.2", "64:ff9b:1::7f00:2", "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254", "fe80::1", "fec0::1", "ff02::1", "100::1", "2001:db8::1", "3fff::1", "5f00::1",
    "2001:0:7f00:2::1", "2606:4700::5efe:7f00:2", "2606:4700::200:5efe:a00:7",
)  # fmt: skip


@dataclass(frozen=True)
class HostileUrl:
    """A URL; ``PORT`` stands for the port of the tests' server."""

    text: str
    leads: Literal["allowed", "inside", "nowhere"]
    """Where a client gets to that does as it is told; ``nowhere``: it is no URL, or no name."""
    redirected: bool
    """To be asked for as the target of a redirect."""


def hostile_urls(random: rng.Random, count: int) -> Iterator[HostileUrl]:
    """``count`` URLs, the same ones for a generator in the same state."""
    for _ in range(count):
        kind, make = random.choice(_KINDS)
        redirected = random.random() < 0.5
        yield HostileUrl(make(random), kind, redirected)


def hostile_answers(random: rng.Random, count: int, body: bytes) -> Iterator[bytes]:
    """``count`` answers of a server, byte by byte, about ``body``."""
    names = (
        *(
            "Content-Type",
            "Content-Encoding",
            "Content-Length",
            "Transfer-Encoding",
            "X-Robots-Tag",
        ),
        *("tdm-reservation", "Content-Usage", "Retry-After", "Location", "Set-Cookie", "Server"),
    )
    values: Sequence[Callable[[], bytes]] = (
        lambda: random.randbytes(random.randint(0, 40)).translate(None, b"\r\n"),
        lambda: random.choice(
            (b"image/png", b"text/html; charset=\xff", b"gzip", b"deflate, br", b"none")
        ),
        lambda: random.choice((b"chunked", b"-1", b"99999999999999999999", b"0", b"1e9", b"0x10")),
        lambda: random.choice(
            (b"noindex", b"coti:", b":,;=:", b"unavailable_after: \xff", b"train-ai=")
        ),
        lambda: random.choice(
            (b"Thu, 01 Jan 1970 00:00:00 GMT", b"nan", b"/good", b"\xed\xa0\x80", b"")
        ),
    )
    for _ in range(count):
        status = random.choice(
            (b"200 OK", b"200 \xff\xfe", b"302 x", b"404 \xe9", b"999 x", b"200", b"-1 x")
        )
        lines = [b"HTTP/1.1 " + status]
        for _ in range(random.randint(0, 6)):
            lines.append(random.choice(names).encode() + b": " + random.choice(values)())
        whole = b"\r\n".join([*lines, b"", body])
        yield whole[: random.randint(0, len(whole))] if random.random() < 0.1 else whole


def attack(dice: rng.Random, folder: Path) -> list[str]:
    """Whatever the spelling, nothing but the allowed peer is ever connected to, and every URL ends
    as the image or with the one reason that is true of it.
    """
    made, server = list(hostile_urls(dice, _AT_ONCE)), _server()
    urls = []
    for each in made:
        text = each.text.replace("PORT", str(server.port))
        if each.redirected:
            target = re.sub(r"[\r\n\0]", "", text).encode(errors="surrogatepass")
            text = f"http://{ALLOWED}:{server.raw_port}/to/{target.hex()}"
        urls.append(text)
    (folder / "urls").write_text("\n".join(map(ascii, urls)))
    with connections() as reached:
        results = _fetched(urls)
    assert reached <= {ALLOWED}
    assert not server.inside_hits
    assert [one.number for one in results] == list(range(len(urls)))
    for each, url, got in zip(made, urls, results, strict=True):
        said = f"{each!a} as {url!a}: {got.reason} {got.detail}"
        if each.leads == "allowed":
            assert got == Fetched(got.number, _IMAGE), said
            continue
        assert got.data == b"", said
        assert got.reason in REASONS, said
        if each.leads == "inside":
            assert got.reason == "download_refused", said
            assert re.search("not a public address|is no address", got.detail), said
        else:
            assert got.reason in ("download_refused", "download_failed"), said
        got.detail.encode()
    return [got.reason or "image" for got in results]


def attack_by_answers(dice: rng.Random, folder: Path) -> list[str]:
    """Whatever bytes a server answers, each URL ends as bytes or with one reason."""
    answers = list(hostile_answers(dice, _AT_ONCE, _IMAGE))
    (folder / "answers").write_text("\n".join(answer.hex() for answer in answers))
    base = f"http://{ALLOWED}:{_server().raw_port}/raw"
    results = _fetched([f"{base}/{answer.hex()}" for answer in answers])
    assert [one.number for one in results] == list(range(len(answers)))
    for got in results:
        assert got.reason in (REASONS if not got.data else ("",)), got
        got.detail.encode()
        assert {unicodedata.category(c) for c in got.detail}.isdisjoint(("Cc", "Cs", "Zl")), got
    return [got.reason or "bytes" for got in results]


_IMAGE = encoded(image(1))


class _Resolver(AbstractResolver):
    """Names of the tests; numbers as the C library reads them; nobody outside is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name."""
        self.asked += 1
        names = {
            "public.test": [ALLOWED],
            "inside.test": [INSIDE[0]],
            "mixed.test": [ALLOWED, INSIDE[0]],
            "rebind.test": [INSIDE[0] if self.asked % 2 else "10.0.0.7"],
        }
        found = names.get(host.rstrip("."))
        if found is None:
            try:
                found = [socket.inet_ntoa(socket.inet_aton(host))]
            except OSError as error:
                raise OSError(socket.EAI_NONAME, "no such name") from error
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _fetched(urls: list[str]) -> list[Fetched]:
    """The results in the order of the URLs."""
    settings = FetchSettings(
        host_delay=0.0, attempts=1, per_host=32, timeout=20.0, allowed_networks=(f"{ALLOWED}/32",)
    )

    async def run() -> list[Fetched]:
        found = fetch_all(urls, settings, 1_000_000, resolver=_Resolver())
        return sorted([one async for one in found], key=lambda one: one.number)

    return asyncio.run(run())


@cache
def _server() -> HostileServer:
    return lasting.enter_context(hostile_server(_IMAGE))


def _digits(random: rng.Random, address: str) -> str:
    """The address in digits that IDNA folds, and dots that it takes for dots."""
    zeros = (0xFF10, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x2080)
    signs = dict(zip("0123456789", "⓪①②③④⑤⑥⑦⑧⑨", strict=True))
    zero = random.choice(zeros)

    def one(digit: str) -> str:
        how = random.random()
        return digit if how < 0.3 else signs[digit] if how < 0.5 else chr(zero + int(digit))

    spelled = "".join(one(c) if c.isdigit() else random.choice(".。．｡") for c in address)
    assert unicodedata.normalize("NFKC", spelled).replace("。", ".") == address
    return spelled


def _numbers(random: rng.Random, address: str) -> str:
    """The address as the C library takes it: other bases, fewer parts, one number."""
    parts = [int(part) for part in address.split(".")]
    keep = random.randint(0, 3)
    last = int.from_bytes(bytes(parts[keep:]), "big")
    write: Sequence[Callable[[int], str]] = (str, hex, lambda n: f"0{n:o}", lambda n: f"0X{n:08X}")
    return ".".join(random.choice(write)(part) for part in [*parts[:keep], last])


def _wrapped(random: rng.Random, address: str) -> str:
    """The address inside an IPv6 one."""
    high, low = (int.from_bytes(bytes(map(int, half)), "big") for half in _halves(address))
    forms = (
        f"::ffff:{address}",
        f"::ffff:{high:x}:{low:x}",
        f"0:0:0:0:0:ffff:{high:x}:{low:x}",
        f"64:ff9b::{high:x}:{low:x}",
        f"2002:{high:x}:{low:x}::1",
        f"::{address}",
    )
    return f"[{random.choice(forms)}]"


def _halves(address: str) -> tuple[list[str], list[str]]:
    parts = address.split(".")
    return parts[:2], parts[2:]


def _inside(random: rng.Random) -> str:
    address = random.choice(INSIDE)
    spell = random.choice((_digits, _numbers, _wrapped, lambda _, plain: plain))
    host = spell(random, address)
    if random.random() < 0.2:
        six = random.choice(_INSIDE_6)
        host = f"[{six.upper() if random.random() < 0.5 else six}]"
    return f"{_scheme(random)}://{host}:PORT/{_path(random)}"


def _inside_by_name(random: rng.Random) -> str:
    name = random.choice(
        ("inside.test", "mixed.test", "rebind.test", "ⓘnside.test", "INSIDE.test.")
    )
    return f"{_scheme(random)}://{name}:PORT/{_path(random)}"


def _allowed(random: rng.Random) -> str:
    host = random.choice(
        (ALLOWED, _digits(random, ALLOWED), f"[::ffff:{ALLOWED}]", "public.test", "PUBLIC.ｔest")
    )
    return f"{_scheme(random)}://{host}:PORT/good/{_path(random)}"


def _nowhere(random: rng.Random) -> str:
    target = random.choice(INSIDE)
    return random.choice(
        (
            f"http://user:secret@{target}:PORT/",
            f"http://{ALLOWED}:PORT@{target}:PORT/",
            f"http://{ALLOWED}:PORT\\@{target}/",
            f"http://{ALLOWED} &@{target}#@{ALLOWED}/",
            f"http:/\\{target}/",
            f"http:\\\\{target}\\x",
            f"http:{target}:PORT/x",
            f"http://{target}%00.{ALLOWED}:PORT/",
            f"http://{'.'.join('%3' + c for c in target if c.isdigit())}/",
            f"http://[{target}]:PORT/",
            f"http://[::1]{ALLOWED}:PORT/",
            "http://[fe80::1%25lo]:PORT/",
            f"http://{ALLOWED}\u200b:PORT/",
            f"http://{ALLOWED}\x01:PORT/",
            f"http://{ALLOWED}:999999/",
            f"http://{ALLOWED}:-1/",
            f"http://{ALLOWED}:PORT/\ud800",
            "http://\udcff.test/",
            f"http://{'a' * 64}.test:PORT/",
            f"http://{'a.' * 200}test:PORT/",
            "http://a..test/",
            "http://.:PORT/",
            "http:///x",
            "http://",
            "",
            " ",
            f"//{target}:PORT/x" if random.random() < 0.5 else "::::",
            f"file://{target}/etc/passwd",
            "file:///etc/passwd",
            "data:image/png;base64,iVBORw0KGgo=",
            f"gopher://{target}:PORT/_x",
            f"ftp://{target}/x.png",
            f"s3://{target}/x.png",
            "unix:/var/run/docker.sock",
            f"{'h' * 5000}://{target}/",
            "".join(chr(random.randrange(1, 0x3000)) for _ in range(random.randint(1, 40))),
        )
    )


def _scheme(random: rng.Random) -> str:
    return "".join(c.upper() if random.random() < 0.2 else c for c in "http")


def _path(random: rng.Random) -> str:
    return random.choice(
        ("x.png", "a b.png", "ä/ö.png?q=ü ü", "%41%zz", "../../x", "a?b#c", "", "x" * 3000, "\t\n")
    )


_KINDS: tuple[tuple[Literal["allowed", "inside", "nowhere"], Callable[[rng.Random], str]], ...] = (
    ("inside", _inside),
    ("inside", _inside),
    ("inside", _inside_by_name),
    ("allowed", _allowed),
    ("nowhere", _nowhere),
)
