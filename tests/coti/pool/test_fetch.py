from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from coti.core.errors import ConfigError, PoolError
from coti.pool.fetch.addresses import AddressPolicy
from coti.pool.fetch.fetcher import Fetched, fetch_all
from coti.pool.ingest import ingest
from coti.pool.input_tables import Table
from coti.pool.open_source import detect_kind, fingerprint_source, open_source
from coti.pool.reasons import Rejected
from coti.pool.refusals import robots_directive
from coti.pool.sources import url_table
from coti.settings import FetchSettings, PoolSettings
from tests.coti.pool.conftest import encoded, image
from tests.coti.pool.hostile_server import INSIDE, PUBLIC, HostileServer, Names, hostile_server

IMAGE = encoded(image(1))
SETTINGS = FetchSettings(
    host_delay=0.0, backoff=0.01, timeout=20.0, allowed_networks=(f"{PUBLIC}/32",)
)


@pytest.fixture
def server() -> Iterator[HostileServer]:
    """A hostile server of its own for every test."""
    with hostile_server(IMAGE) as running:
        yield running


def fetched(
    urls: Sequence[str],
    settings: FetchSettings = SETTINGS,
    resolver: Any = None,
    max_bytes: int = 1_000_000,
) -> list[Fetched]:
    """The results in the order of the URLs."""

    async def run() -> list[Fetched]:
        found = fetch_all(urls, settings, max_bytes, resolver=resolver)
        return sorted([one async for one in found], key=lambda one: one.number)

    return asyncio.run(run())


def one(url: str, **options: Any) -> Fetched:
    """The result of one URL."""
    return fetched([url], **options)[0]


def test_an_image_is_fetched_and_we_say_who_we_are(server: HostileServer) -> None:
    """The bytes come as they are, and the server sees our User-Agent."""
    assert one(server.url("good")) == Fetched(0, IMAGE)
    assert server.agents == {SETTINGS.user_agent}


@pytest.mark.parametrize(
    ("path", "tries"), [("flaky/a", 3), ("later/a", 2), ("status/404", 1), ("status/403", 1)]
)
def test_only_what_is_worth_it_is_tried_again(server: HostileServer, path: str, tries: int) -> None:
    """503 and 429 are tried again until they succeed, 403 and 404 are not."""
    begun = time.monotonic()
    result = one(server.url(path))
    assert server.hits[path] == tries
    assert (result.data == IMAGE) == (tries > 1)
    if path.startswith("later"):
        assert time.monotonic() - begun >= 1.0  # Retry-After


def test_tries_are_bounded(server: HostileServer) -> None:
    """A server that always fails is given up after the configured tries, with its status."""
    result = one(server.url("status/500"))
    assert server.hits["status/500"] == SETTINGS.attempts
    assert (result.reason, result.detail) == ("download_failed", "HTTP 500, 3 times")


@pytest.mark.parametrize(
    "target",
    [
        f"http://{INSIDE}:PORT/secret",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[::1]:PORT/secret",
        "http://[::ffff:127.0.0.2]:PORT/secret",
        "http://[64:ff9b::7f00:2]:PORT/secret",
        "http://0x7f000002:PORT/secret",
        "http://2130706434:PORT/secret",
        "http://0.0.0.0:PORT/secret",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/",
        "http://user:secret@example.org/",
        "//",
        "not a url",
    ],
)
def test_nothing_inside_is_asked_directly_or_by_a_redirect(
    server: HostileServer, target: str
) -> None:
    """Private, loopback, link-local and metadata addresses in any spelling, other schemes and
    passwords are refused, as a URL and as a redirect's target.
    """
    target = target.replace("PORT", str(server.port))
    redirect = server.url(f"to/x?url={quote(target, safe='')}")
    direct, followed = fetched([target, redirect])
    assert direct.reason in ("download_refused", "download_failed")
    if target not in ("//", "not a url"):
        assert followed.reason in ("download_refused", "download_failed")
    assert direct.data == b""
    assert not server.inside_hits


def test_a_name_that_turns_inwards_is_refused_each_time(server: HostileServer) -> None:
    """A name that is public first and inside a moment later reaches the public address or
    nothing; mixed answers are refused as a whole.
    """
    names = Names({"rebind.test": [[PUBLIC], [INSIDE]], "mixed.test": [[PUBLIC, INSIDE]]})
    again = dataclasses.replace(SETTINGS, concurrency=1)
    urls = [
        server.url("good", "rebind.test"),
        server.url("status/404", "rebind.test").replace("404", "500"),
        server.url("good", "mixed.test"),
    ]
    results = fetched(urls, again, names)
    assert results[0].data == IMAGE
    assert results[2].reason == "download_refused"
    assert not server.inside_hits


def test_the_connection_goes_to_the_address_that_was_checked(server: HostileServer) -> None:
    """One resolution is enough for a fetch: nobody asks the name again behind the check."""
    names = Names({"pin.test": [[PUBLIC], [INSIDE]]})
    assert one(server.url("good", "pin.test"), resolver=names).data == IMAGE
    assert names.asked["pin.test"] == 1
    assert not server.inside_hits


def test_redirects_are_followed_but_not_for_ever(server: HostileServer) -> None:
    """A relative redirect leads to the image; a loop ends with a reason."""
    assert one(server.url("to/x?url=%2Fgood")).data == IMAGE
    result = one(server.url("loop/0"))
    assert (result.reason, result.detail) == ("download_failed", "more than 5 redirects")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("drip", "download_timeout"),
        ("endless", "file_too_large"),
        ("packed", "download_failed"),
        ("type?is=text/html", "wrong_content_type"),
        ("type?is=video/mp4", "wrong_content_type"),
        ("headers?X-Robots-Tag=noai", "opt_out"),
        ("headers?X-Robots-Tag=foo,%20NoImageAI", "opt_out"),
        ("headers?X-Robots-Tag=all&x-robots-tag=none", "opt_out"),
        ("headers?X-Robots-Tag=otherbot:%20noai&X-Robots-Tag=coti:%20noindex", "opt_out"),
        ("headers?tdm-reservation=1", "opt_out"),
        ("headers?tdm-reservation=1,%201", "opt_out"),
        ("headers?tdm-reservation=1;q=1", "opt_out"),
        ("headers?X-Robots-Tag=unavailable_after:25%20Jun%202010%2015:00:00%20GMT", "opt_out"),
        ("headers?X-Robots-Tag=%22noai%22", "opt_out"),
        ("to/x?X-Robots-Tag=noai&url=%2Fgood", "opt_out"),
        ("to/x?X-Robots-Tag=all&url=%2Fgood", ""),
        ("headers?TDM-Reservation=0&tdm-policy=https://example.org/terms", ""),
        ("headers?Content-Usage=search=y,%20train-ai=n", "opt_out"),
        ("headers?Content-Usage=train-ai=y", ""),
        ("status/404?X-Robots-Tag=noindex", "download_failed"),
        ("gzipped", ""),
        ("gzipped/0", "empty_file"),
        ("gzipped/3000000", "file_too_large"),
        ("headers?Content-Encoding=identity", ""),
        ("headers?Content-Encoding=none", ""),
        ("a b/ü.png?q=c d", ""),
    ],
)
def test_hostile_answers_have_their_reason(server: HostileServer, path: str, reason: str) -> None:
    """Dripping, endless, packed, mistyped and forbidden answers end in time with their reason."""
    impatient = dataclasses.replace(SETTINGS, timeout=2.0 if path == "drip" else 20.0)
    begun = time.monotonic()
    result = one(server.url(path), settings=impatient)
    assert result.reason == reason
    assert time.monotonic() - begun < 3 * impatient.timeout
    assert (result.data == IMAGE) == (reason == "")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("odd-type", "wrong_content_type"),
        ("odd-reason", "download_failed"),
        ("odd-headers", ""),
        ("odd-agent", "opt_out"),
    ],
)
def test_headers_of_any_bytes_are_kept_as_text(
    server: HostileServer, tmp_path: Path, path: str, reason: str
) -> None:
    """A header that is no UTF-8 costs its own row at most, and what is said of it can be stored."""
    urls = [f"http://{PUBLIC}:{server.raw_port}/{path}", server.url("good")]
    table = table_of(urls, tmp_path / "pool.csv")
    settings = PoolSettings(fetch=SETTINGS)
    source = open_source(str(table), settings, cache_dir=tmp_path / "kept")
    odd, good = source.entries()
    assert odd.reason == reason
    odd.detail.encode()
    assert good.read is not None
    assert good.read() == IMAGE


@pytest.mark.parametrize(
    "path", ["lies-long", "no-http", "silent", "bad-chunks", "endless-header", "negative"]
)
def test_broken_http_is_a_failed_download(server: HostileServer, path: str) -> None:
    """Answers that break HTTP, or are shorter than they say, are never taken for an image."""
    result = one(f"http://{PUBLIC}:{server.raw_port}/{path}")
    assert result.reason == "download_failed"
    assert result.data == b""
    assert server.hits[path] <= 2 * SETTINGS.attempts  # aiohttp itself asks once more


def test_a_length_that_is_too_short_cuts_the_image(server: HostileServer) -> None:
    """No more than the declared length is taken, if anything at all."""
    data = one(f"http://{PUBLIC}:{server.raw_port}/lies-short").data
    assert data in (b"", IMAGE[:100])


def test_hosts_are_asked_politely(server: HostileServer) -> None:
    """No more than ``per_host`` requests at once, and no faster than ``host_delay``."""
    polite = dataclasses.replace(SETTINGS, per_host=2, host_delay=0.05, concurrency=16)
    begun = time.monotonic()
    results = fetched([server.url(f"slow/{n}") for n in range(8)], polite)
    assert all(result.data == IMAGE for result in results)
    assert server.most_at_once <= 2
    assert time.monotonic() - begun >= 7 * 0.05


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("noai", "noai"),
        ("all", ""),
        ("nofollow, NOINDEX", "noindex"),
        ("none", "none"),
        ("NONE, noarchive", "none"),
        ("max-image-preview:none", ""),
        ("noai noimageai", "noai"),
        ("noarchive; noai", "noai"),
        ("coti: none", "none"),
        ("otherbot: none", ""),
        ("unavailable_after: 25 Jun 2010 15:00:00 PST", "unavailable_after"),
        ("unavailable_after: Friday, 25-Jun-10 15:00:00 UTC", "unavailable_after"),
        ("unavailable_after: 2010-06-25", "unavailable_after"),
        ("coti: unavailable_after: 2010-06-25T15:00:00+00:00", "unavailable_after"),
        ("unavailable_after: 2990-06-25", ""),
        ("unavailable_after: sometime", ""),
        ("googlebot: noindex, noai", ""),
        ("coti: noai", "noai"),
        ("*: noimageai", "noimageai"),
        ("unavailable_after: 25 Jun 2030 15:00:00 PST, noai", "noai"),
        ("googlebot: noindex, coti: noindex", "noindex"),
        ("", ""),
    ],
)
def test_robots_directives(header: str, found: str) -> None:
    """Directives count in any case, for everybody or for us, not for other agents."""
    assert robots_directive([header], SETTINGS) == found


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "2002:7f00:0001::",
        "64:ff9b::a00:1",
        "fd00:ec2::254",
        "198.18.0.1",
        "168.63.129.16",
        "192.0.0.192",
        "192.88.99.1",
        "100.100.100.200",
        "161.26.0.1",
        "::ffff:168.63.129.16",
        "64:ff9b::a83f:8110",
        "64:ff9b:1::8.8.8.8",
        "2002:808:808::1",
        "2001:0:808:808::1",
        "2606:4700::5efe:8.8.8.8",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
        "fec0::1",
        "3fff::1",
        "4000::1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    """Loopback, private, link-local, shared, multicast, metadata and embedded ones are refused."""
    with pytest.raises(Rejected, match="not a public address"):
        AddressPolicy().check_address(address)


def test_networks_can_be_allowed_and_are_checked() -> None:
    """An allowed network is an exception; one that is none is a configuration error."""
    AddressPolicy(["10.0.0.0/8"]).check_address("10.1.2.3")
    for public in (
        "93.184.216.34",
        "2606:2800:220:1::1",
        "::ffff:93.184.216.34",
        "64:ff9b::808:808",
    ):
        AddressPolicy().check_address(public)
    with pytest.raises(ConfigError, match="allowed_networks"):
        AddressPolicy(["ten"])


def test_a_socket_is_not_even_made_for_the_inside() -> None:
    """Where an address comes past the name's check, it is stopped before the connection."""
    family, kind = socket.AF_INET, socket.SOCK_STREAM
    with pytest.raises(OSError, match="not a public address"):
        AddressPolicy().socket_for((family, kind, 0, "", ("10.0.0.1", 80)))


def table_of(urls: Sequence[str], path: Path) -> Path:
    """A LAION-style CSV."""
    lines = ["URL,TEXT,similarity"] + [f"{url},caption {n},0.3" for n, url in enumerate(urls)]
    path.write_text("\n".join(lines))
    return path


def test_a_row_without_a_url_is_a_row(server: HostileServer, tmp_path: Path) -> None:
    """Wherever it stands in JSON lines; a table in which no row has one is refused."""
    table = tmp_path / "pool.jsonl"
    table.write_text(f'{{"text": "a"}}\n{{\n{{"url": "{server.url("good/0")}"}}\n{{"url": null}}\n')
    entries = list(open_source(str(table), PoolSettings(fetch=SETTINGS)).entries())
    assert [entry.reason for entry in entries] == ["bad_row", "bad_row", "", "bad_row"]
    assert [entry.detail for entry in entries[:2]] == ["names no URL", "not JSON"]
    table.write_text('{"text": "a"}\n{"text": "b"}\n')
    with pytest.raises(PoolError, match="no column of URLs"):
        list(open_source(str(table), PoolSettings(fetch=SETTINGS)).entries())


def test_only_tables_of_the_folder_are_read(tmp_path: Path) -> None:
    """A pipe keeps nobody waiting and a link out of the folder is not followed, not to see what
    kind of pool it is either: each is a row with its reason.
    """
    root, secret = tmp_path / "pool", "ftp://example.org/secret"
    root.mkdir()
    table_of([secret], tmp_path / "outside.csv")
    os.mkfifo(root / "b.csv")
    (root / "d.csv").symlink_to(tmp_path / "outside.csv")
    assert detect_kind(str(root)) == "folder"  # without URLs of its own
    table_of(["ftp://example.org/a"], root / "a.csv")
    table_of(["ftp://example.org/c"], root / "c.csv")
    source = open_source(str(root), PoolSettings(fetch=SETTINGS))
    assert source.kind == "url_table"
    entries = list(source.entries())
    assert [(entry.name, entry.reason) for entry in entries] == [
        ("a.csv#0", "download_refused"),
        ("c.csv#0", "download_refused"),
        ("b.csv", "not_regular"),
        ("d.csv", "outside_path"),
    ]
    assert source.fingerprint() == fingerprint_source(str(root))
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "d.csv").symlink_to(tmp_path / "outside.csv")
    for kind in ("auto", "url_table"):  # the user names the link itself
        named = open_source(str(alone / "d.csv"), PoolSettings(kind=kind, fetch=SETTINGS))
        assert [entry.extra["url"] for entry in named.entries()] == [secret]
    with pytest.raises(PoolError, match="leaves the folder"):
        list(open_source(str(alone), PoolSettings(kind="url_table")).entries())


def test_a_pool_is_kept_under_the_hash_of_the_tables_that_were_read(tmp_path: Path) -> None:
    """A table that is another one once it was read changes the source's own hash."""
    table_of(["ftp://example.org/a"], tmp_path / "a.csv")
    source = open_source(str(tmp_path), PoolSettings(fetch=SETTINGS))
    before = source.fingerprint()
    entries = source.entries()
    next(entries)
    (tmp_path / "a.csv").rename(tmp_path / "a.old")
    shutil.copy(tmp_path / "a.old", tmp_path / "a.csv")
    assert source.fingerprint() != before


def test_how_long_a_table_is_does_not_decide_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows without a URL are counted where the table is read, not where it is looked at."""
    monkeypatch.setattr(url_table, "Table", partial(Table, most_rows=3))
    (tmp_path / "a.jsonl").write_text('{"file_name": "a.png"}\n' * 4)
    assert detect_kind(str(tmp_path)) == "folder"


def test_a_pipelines_ingestion_goes_on_behind_what_was_fetched(
    server: HostileServer, tmp_path: Path
) -> None:
    """With a folder for what was fetched, a second ingestion asks nobody anything."""
    table = table_of([server.url(f"good/{n}") for n in range(3)], tmp_path / "pool.csv")
    settings = PoolSettings(fetch=SETTINGS, workers=1)
    first = ingest(str(table), settings, 16, fetch_dir=tmp_path / "kept")
    assert first.kind == "url_table"
    assert set(first.manifest["reason"]) == {""}
    again = ingest(str(table), settings, 16, fetch_dir=tmp_path / "kept")
    assert again.manifest.equals(first.manifest)
    assert sum(server.hits.values()) == 3


def test_a_table_of_urls_is_resumed_by_shard(server: HostileServer, tmp_path: Path) -> None:
    """Whole shards are not fetched again; the one that was broken off is."""
    urls = [server.url(f"good/{n}") for n in range(5)]
    urls[3] = "ftp://example.org/x.png"
    urls.append("")
    fetch = dataclasses.replace(SETTINGS, shard_size=2)
    table = table_of(urls, tmp_path / "pool.csv")
    settings = PoolSettings(fetch=fetch)

    def entries() -> list[tuple[str, str, str, bytes | None]]:
        source = open_source(str(table), settings, cache_dir=tmp_path / "cache")
        assert source.kind == "url_table"
        return [(e.name, e.caption, e.reason, e.read and e.read()) for e in source.entries()]

    first = entries()
    assert [row[0] for row in first] == [f"pool.csv#{n}" for n in range(6)]
    assert [row[2] for row in first] == ["", "", "", "download_refused", "", "bad_row"]
    assert first[0][3] == IMAGE
    assert first[1][1] == "caption 1"
    next((tmp_path / "cache").rglob("000002.jsonl")).unlink()
    assert entries() == first
    assert server.hits["good/0"] == 1
    assert server.hits["good/4"] == 2


def test_what_was_kept_is_checked_when_read(server: HostileServer, tmp_path: Path) -> None:
    """A flipped bit or a cut anywhere in what was fetched is noticed and said; what is damaged is
    fetched again, the rest is not.
    """
    urls = [server.url(f"good/{n}") for n in range(3)]
    table = table_of([*urls, "ftp://example.org/x.png"], tmp_path / "pool.csv")

    def entries() -> tuple[list[tuple[str, str, bytes | None]], list[str]]:
        source = open_source(str(table), PoolSettings(fetch=SETTINGS), cache_dir=tmp_path)
        return [(e.name, e.reason, e.read and e.read()) for e in source.entries()], source.notes

    first = entries()
    assert first[1] == []
    chance = random.Random(0)
    for attempt in range(40):
        file = chance.choice([*tmp_path.rglob("*.bin"), *tmp_path.rglob("*.jsonl")])
        data = bytearray(file.read_bytes())
        place = chance.randrange(len(data))
        if attempt % 4 == 0:
            del data[place:]
        else:
            data[place] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
        before = sum(server.hits.values())
        found, notes = entries()
        assert found == first[0]
        asked = sum(server.hits.values()) - before
        assert asked <= (3 if attempt % 4 == 0 else 2)  # a line end is between two rows
        last_line_end = file.suffix == ".jsonl" and place == len(data)  # without which all is said
        assert any("fetched again" in note for note in notes) or last_line_end
    assert entries() == first


def test_a_row_that_cannot_be_read_is_not_taken(server: HostileServer, tmp_path: Path) -> None:
    """Its URL is there, but nobody knows what it refuses."""
    table = tmp_path / "pool.csv"
    table.write_text(f"url,noai\n{server.url('good')},{'x' * 4_000_001}\n")
    (entry,) = open_source(str(table), PoolSettings(fetch=SETTINGS)).entries()
    assert entry.reason == "bad_row"


def test_another_policy_asks_the_owners_again(server: HostileServer, tmp_path: Path) -> None:
    """What was fetched while refusals were ignored does not enter where they are honoured; another
    speed asks nobody.
    """
    table = table_of([server.url("headers?X-Robots-Tag=noai")], tmp_path / "pool.csv")

    def reason(fetch: FetchSettings, **others: int) -> str:
        settings = PoolSettings(fetch=fetch, **others)  # type: ignore[arg-type]
        (entry,) = open_source(str(table), settings, cache_dir=tmp_path).entries()
        return entry.reason

    assert reason(dataclasses.replace(SETTINGS, opt_out=())) == ""
    assert reason(SETTINGS) == "opt_out"
    assert reason(dataclasses.replace(SETTINGS, host_delay=0.01)) == "opt_out"
    assert server.hits["headers"] == 2
    assert reason(SETTINGS, max_bytes=999) == "opt_out"
    assert reason(dataclasses.replace(SETTINGS, user_agent="other/1")) == "opt_out"
    assert reason(dataclasses.replace(SETTINGS, allowed_networks=())) == "download_refused"
