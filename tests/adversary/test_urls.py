from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import unicodedata

from aiohttp.abc import AbstractResolver, ResolveResult

from coti.pool.fetch.fetcher import Fetched, fetch_all
from coti.pool.reasons import REASONS
from coti.settings import FetchSettings
from tests.adversary.connections import connections
from tests.adversary.urls import ALLOWED, hostile_answers, hostile_urls
from tests.coti.pool.conftest import encoded, image
from tests.coti.pool.hostile_server import INSIDE, hostile_server

IMAGE = encoded(image(1))
COUNT = int(os.environ.get("ATTACK_URLS", "300"))


class CResolver(AbstractResolver):
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
            "inside.test": [INSIDE],
            "mixed.test": [ALLOWED, INSIDE],
            "rebind.test": [INSIDE if self.asked % 2 else "10.0.0.7"],
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


SETTINGS = FetchSettings(
    host_delay=0.0, attempts=1, per_host=32, timeout=20.0, allowed_networks=(f"{ALLOWED}/32",)
)


def fetched(urls: list[str]) -> list[Fetched]:
    """The results in the order of the URLs."""

    async def run() -> list[Fetched]:
        found = fetch_all(urls, SETTINGS, 1_000_000, resolver=CResolver())
        return sorted([one async for one in found], key=lambda one: one.number)

    return asyncio.run(run())


def test_no_answer_costs_more_than_its_own_row(attack_seed: int) -> None:
    """Whatever bytes a server answers, each URL ends as bytes or with one reason."""
    with hostile_server(IMAGE) as server:
        answers = hostile_answers(random.Random(attack_seed), COUNT, IMAGE)
        base = f"http://{ALLOWED}:{server.raw_port}/raw"
        results = fetched([f"{base}/{answer.hex()}" for answer in answers])
    assert [one.number for one in results] == list(range(COUNT))
    for got in results:
        assert got.reason in (REASONS if not got.data else ("",)), got
        got.detail.encode()
        assert {unicodedata.category(c) for c in got.detail}.isdisjoint(("Cc", "Cs", "Zl")), got
    assert {"", "opt_out", "wrong_content_type", "download_failed"} <= {r.reason for r in results}


def test_no_url_gets_inside(attack_seed: int) -> None:
    """Whatever the spelling, nothing but the allowed peer is ever connected to, and every URL ends
    as the image or with the one reason that is true of it.
    """
    made = list(hostile_urls(random.Random(attack_seed), COUNT))
    with hostile_server(IMAGE) as server:
        urls = []
        for each in made:
            text = each.text.replace("PORT", str(server.port))
            if each.redirected:
                target = re.sub(r"[\r\n\0]", "", text).encode(errors="surrogatepass")
                text = f"http://{ALLOWED}:{server.raw_port}/to/{target.hex()}"
            urls.append(text)
        with connections() as reached:
            results = fetched(urls)
        assert reached == {ALLOWED}
        assert not server.inside_hits
    assert [one.number for one in results] == list(range(len(urls)))
    for each, url, got in zip(made, urls, results, strict=True):
        said = f"{each!a} as {url!a}: {got.reason} {got.detail}"
        if each.leads == "allowed":
            assert got == Fetched(got.number, IMAGE), said
            continue
        assert got.data == b"", said
        assert got.reason in REASONS, said
        if each.leads == "inside":
            assert got.reason == "download_refused", said
            assert re.search("not a public address|is no address", got.detail), said
        else:
            assert got.reason in ("download_refused", "download_failed"), said
        got.detail.encode()
