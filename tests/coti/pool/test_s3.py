from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from coti.core.errors import PoolError
from coti.pool.entry import Entry
from coti.pool.ingest import ingest
from coti.pool.open_source import fingerprint_source, open_source
from coti.pool.validation import validate
from coti.settings import PoolSettings
from tests.coti.pool.conftest import encoded, image
from tests.coti.pool.s3_server import ACCESS, SECRET, Proxy, client, s3_server
from tests.coti.pool.test_shards import write_tar

pytestmark = pytest.mark.slow

IMAGES = {f"pool/{n}.png": encoded(image(n, (200, 200))) for n in range(4)}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A SeaweedFS server with a bucket of images, captions and shards."""
    folder = tmp_path_factory.mktemp("weed")
    with s3_server(folder) as endpoint:
        store = client(endpoint)
        store.create_bucket(Bucket="web")
        objects = {
            **IMAGES,
            "pool/0.txt": b"first",
            "pool/metadata.csv": b"file_name,text\n1.png,second\ngone.png,lost\n",
            "pool/broken.png": IMAGES["pool/0.png"][:500],
            "poolside/other.png": IMAGES["pool/3.png"],
        }
        tar = write_tar(folder / "x.tar", {"a.png": IMAGES["pool/0.png"], "a.txt": b"tarred"})
        objects["shards/00000.tar"] = tar.read_bytes()
        objects["deep/train/00000.TAR"] = tar.read_bytes()
        objects["packed/00000.tar.gz"] = gzip.compress(tar.read_bytes())
        for key, body in objects.items():
            store.put_object(Bucket="web", Key=key, Body=body)
        yield endpoint


@pytest.fixture
def settings(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> PoolSettings:
    """Settings for the server, with its credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    return PoolSettings(workers=2, s3_endpoint=endpoint)


@pytest.fixture
def proxy(endpoint: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the server, and its endpoint."""
    running = Proxy(endpoint)
    address = running.start()
    yield running, address
    running.stop()


def by_name(source: str, settings: PoolSettings) -> dict[str, Entry]:
    """Inputs by name."""
    return {entry.name: entry for entry in open_source(source, settings).entries()}


def test_a_prefix_is_ingested_like_a_folder(settings: PoolSettings) -> None:
    """Images, sidecars and the table are understood; a neighbouring prefix is not touched."""
    ingested = ingest("s3://web/pool", settings, 32)
    verdict = validate(ingested.manifest, settings)
    rows = verdict.manifest.set_index("source")
    assert ingested.kind == "s3"
    assert dict(rows["reason"]) == {
        **{f"{n}.png": "" for n in range(4)},
        "broken.png": "truncated",
        "metadata.csv#1": "missing_file",
    }
    assert rows["caption"]["0.png"] == "first"
    assert rows["caption"]["1.png"] == "second"


def test_shards_on_s3_are_read(settings: PoolSettings) -> None:
    """A prefix of tar shards is copied and read as WebDataset."""
    source = open_source("s3://web/shards/", settings)
    (entry,) = source.entries()
    assert (entry.name, entry.caption) == ("00000.tar/a.png", "tarred")
    assert entry.read is not None
    assert entry.read() == IMAGES["pool/0.png"]
    (deep,) = open_source("s3://web/deep/", settings).entries()
    assert (deep.name, deep.caption) == ("train/00000.TAR/a.png", "tarred")
    (packed,) = open_source("s3://web/packed/", settings).entries()
    assert (packed.reason, "gunzip" in packed.detail) == ("broken_shard", True)


def test_fingerprints_follow_the_objects(endpoint: str, settings: PoolSettings) -> None:
    """The same prefix has the same fingerprint; one more object has another."""
    store = client(endpoint)
    store.put_object(Bucket="web", Key="print/a.png", Body=IMAGES["pool/0.png"])
    first = fingerprint_source("s3://web/print", settings)
    assert fingerprint_source("s3://web/print/", settings) == first
    store.put_object(Bucket="web", Key="print/a.png", Body=IMAGES["pool/1.png"])
    assert fingerprint_source("s3://web/print", settings) != first


@pytest.mark.parametrize(
    ("source", "environment", "said"),
    [
        ("s3://web/pool", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "refuses .*check AWS_ACCESS_KEY_ID"),
        ("s3://web/pool", {"AWS_ACCESS_KEY_ID": "nobody"}, "refuses .*check AWS_ACCESS_KEY_ID"),
        ("s3://nowhere/pool", {}, "no bucket 'nowhere'"),
        ("s3://web/void", {}, "no objects below"),
        ("s3:///pool", {}, "names no bucket"),
    ],
)
def test_what_cannot_be_listed_is_one_sentence(
    settings: PoolSettings,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    environment: dict[str, str],
    said: str,
) -> None:
    """Wrong keys, a missing bucket and an empty prefix each name the input and the remedy."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PoolError, match=said):
        by_name(source, settings)


def test_an_endpoint_that_is_not_there_is_one_sentence(settings: PoolSettings) -> None:
    """A refused connection names the endpoint."""
    with pytest.raises(PoolError, match=r"127\.0\.0\.1:9 .*check endpoint and network"):
        by_name("s3://web/pool", replace(settings, s3_endpoint="http://127.0.0.1:9"))


def test_an_object_that_vanishes_or_changes_is_quarantined(
    endpoint: str, settings: PoolSettings
) -> None:
    """Between listing and reading one object goes and one is replaced: each says so."""
    store = client(endpoint)
    for name in ("stays", "goes", "changes"):
        store.put_object(Bucket="web", Key=f"moving/{name}.png", Body=IMAGES["pool/0.png"])
    found = by_name("s3://web/moving", settings)
    store.delete_object(Bucket="web", Key="moving/goes.png")
    store.put_object(Bucket="web", Key="moving/changes.png", Body=IMAGES["pool/1.png"])
    assert read(found["stays.png"]) == IMAGES["pool/0.png"]
    assert read(found["goes.png"]) == "vanished: gone since it was listed"
    assert read(found["changes.png"]) == "vanished: replaced since it was listed"


def read(entry: Entry) -> Any:
    """The bytes, or the rejection as text."""
    from coti.pool.reasons import Rejected

    assert entry.read is not None
    try:
        return entry.read()
    except Rejected as rejected:
        return str(rejected)


def test_throttling_and_cut_connections_are_retried(
    settings: PoolSettings, proxy: tuple[Proxy, str]
) -> None:
    """503 SlowDown, also while listing, and bodies cut in the middle are asked for again, and
    what arrives is whole.
    """
    running, address = proxy
    running.plan = {
        "/web": ["throttle"],
        "/web/pool/0.png": ["throttle", "throttle"],
        "/web/pool/1.png": ["cut", "cut"],
        "/web/pool/2.png": ["throttle", "cut"],
    }
    found = by_name("s3://web/pool", replace(settings, s3_endpoint=address))
    for number in range(4):
        assert read(found[f"{number}.png"]) == IMAGES[f"pool/{number}.png"]
    assert running.asked["/web/pool/1.png"] == 3
    assert running.asked["/web/pool/0.png"] == 3


def test_an_object_that_never_arrives_is_quarantined(
    settings: PoolSettings, proxy: tuple[Proxy, str]
) -> None:
    """Cut every time: tried a few times, then a row with its reason, and the rest is read."""
    running, address = proxy
    running.plan = {"/web/pool/1.png": ["cut"] * 99}
    chosen = replace(settings, s3_endpoint=address)
    verdict = validate(ingest("s3://web/pool", chosen, 32).manifest, chosen)
    rows = verdict.manifest.set_index("source")
    assert rows["reason"]["1.png"] == "unreadable"
    assert rows["reason"]["0.png"] == ""
    assert running.asked["/web/pool/1.png"] == 5
