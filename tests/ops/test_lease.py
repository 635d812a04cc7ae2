"""The lease on a real S3 server: one holder at a time, whoever comes second is told by whom."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from coti.core.errors import RegistryError, StoreError
from ops.registry.lease import S3Lease, hold
from tests.coti.pool.s3_server import Proxy, client, s3_server

BUCKET = "leases"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a bucket."""
    with s3_server(tmp_path_factory.mktemp("weed")) as found:
        client(found).create_bucket(Bucket=BUCKET)
        yield found


@pytest.fixture
def proxy(endpoint: str) -> Iterator[Proxy]:
    """What stands between the holder and the server."""
    found = Proxy(endpoint)
    found.start()
    yield found
    found.stop()


def _lease(endpoint: str, key: str, holder: str, life: float = 60.0) -> S3Lease:
    return S3Lease(client(endpoint), BUCKET, key, "boots", holder, life)


@pytest.mark.slow
def test_of_many_at_once_one_wins(endpoint: str) -> None:
    """Eight threads, one barrier, one lease."""
    barrier = Barrier(8)

    def take(number: int) -> bool:
        mine = _lease(endpoint, "race.json", f"holder {number}")
        barrier.wait(30)
        return mine._take() is None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1


@pytest.mark.slow
def test_the_second_is_told_and_gets_it_afterwards(endpoint: str) -> None:
    """The sentence names the holder; a lease that was given back is free."""
    with (
        _lease(endpoint, "one.json", "ada").held(0),
        pytest.raises(RegistryError, match=r"'boots' is under way \(by ada\)"),
        _lease(endpoint, "one.json", "bob").held(0.2),
    ):
        pass
    with _lease(endpoint, "one.json", "bob").held(0) as still_mine:
        still_mine()


@pytest.mark.slow
def test_a_dead_holders_lease_is_taken_over_and_the_dead_is_told(endpoint: str) -> None:
    """After its life has ended; the old holder may neither write nor delete the new one's."""
    dead = _lease(endpoint, "dead.json", "ada", life=-1.0)
    with dead.held(0) as ada_holds, _lease(endpoint, "dead.json", "bob").held(0) as bob_holds:
        bob_holds()
        with pytest.raises(RegistryError, match="was lost"):
            ada_holds()
    with _lease(endpoint, "dead.json", "eve").held(0):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b'{"token": "x"', b"[1]", b'{"token": 1, "ends": null}'])
def test_a_lease_that_cannot_be_read_is_nobodys(endpoint: str, content: bytes) -> None:
    """Cut or changed in the store: the next takes it over."""
    client(endpoint).put_object(Bucket=BUCKET, Key="cut.json", Body=content)
    with _lease(endpoint, "cut.json", "bob").held(0) as still_mine:
        still_mine()


@pytest.mark.slow
def test_a_lease_is_held_though_the_answer_was_lost(proxy: Proxy) -> None:
    """The object was made; asked again, the store says that there is one: it is the holder's."""
    proxy.plan = {f"/{BUCKET}/lost.json": ["lose"]}
    with _lease(proxy.address, "lost.json", "ada").held(0) as still_mine:
        still_mine()
    assert proxy.done["lose"] == 1
    with _lease(proxy.address, "lost.json", "bob").held(0):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(5))
def test_a_lease_survives_a_connection_that_is_cut(proxy: Proxy, turn: int) -> None:
    """While it is written, confirmed, looked at again, read to be given back, or given back."""
    key = f"cut-{turn}.json"
    proxy.plan = {f"/{BUCKET}/{key}": [""] * turn + ["cut"]}
    with _lease(proxy.address, key, "ada").held(0) as still_mine:
        still_mine()
    assert proxy.done["cut upload"] + proxy.done["cut answer"] == 1
    with _lease(proxy.address, key, "bob").held(0):
        pass


@pytest.fixture
def one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """No repetitions of boto3's, and short pauses of ours."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("ops.registry.lease._PAUSES", (0.1, 0.1))


@pytest.mark.slow
@pytest.mark.usefixtures("one_try")
def test_a_store_that_is_busy_has_not_said_that_the_lease_is_lost(proxy: Proxy) -> None:
    """It is asked again; if it stays so, it is the store that is blamed."""
    proxy.plan = {f"/{BUCKET}/busy.json": ["", "", "throttle", "throttle", ""]}
    with _lease(proxy.address, "busy.json", "ada").held(0) as still_mine:
        still_mine()
    assert proxy.done["throttle"] == 2
    proxy.plan = {f"/{BUCKET}/busier.json": ["", "", *["throttle"] * 3]}
    with (
        pytest.raises(
            StoreError, match=r"'boots' cannot be read from 'leases' \(SlowDown\): `coti"
        ),
        _lease(proxy.address, "busier.json", "ada").held(0) as still_mine,
    ):
        still_mine()
    assert proxy.done["throttle"] == 5
    with _lease(proxy.address, "busier.json", "bob").held(0):
        pass


@pytest.mark.slow
@pytest.mark.usefixtures("one_try")
def test_a_store_that_is_gone_is_one_sentence(
    proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the write; what was done under the lease is not undone by the store's going after."""
    proxy.down = True
    for address, why in ((proxy.address, "ConnectionClosed"), ("http://127.0.0.1:9", "Endpoint")):
        with (
            pytest.raises(StoreError, match=rf"written to 'leases' \({why}\w*Error\): `coti stack"),
            _lease(address, "gone.json", "ada").held(0),
        ):
            pass
    proxy.down = False
    with _lease(proxy.address, "after.json", "ada").held(0) as still_mine:
        still_mine()
        proxy.down = True
        with pytest.raises(StoreError, match="cannot be read from"):
            still_mine()
    assert "cannot be read" in caplog.messages[-1]
    assert "It ends by itself after 60 s." in caplog.messages[-1]


@pytest.mark.slow
def test_a_key_that_is_refused_is_one_sentence(endpoint: str) -> None:
    """With the store's own word for it."""
    mine = S3Lease(client(endpoint, "another secret"), BUCKET, "key.json", "boots")
    with pytest.raises(StoreError, match=r"\(SignatureDoesNotMatch\)"), mine.held(0):
        pass


@pytest.mark.slow
@pytest.mark.usefixtures("one_try")
def test_what_was_written_without_an_answer_blocks_nobody(proxy: Proxy) -> None:
    """The object was made, but neither that nor what it says was heard."""
    proxy.plan = {f"/{BUCKET}/half.json": ["", "throttle"]}
    with (
        pytest.raises(StoreError, match="cannot be read from"),
        _lease(proxy.address, "half.json", "ada").held(0),
    ):
        pass
    with _lease(proxy.address, "half.json", "bob").held(0):
        pass


def test_the_lock_on_one_machine(tmp_path: Path) -> None:
    """A second holder is told within its time, and by whom."""
    with (
        hold("x", "ada", folder=tmp_path),
        pytest.raises(RegistryError, match=r"by ada"),
        hold("x", "bob", 0.1, folder=tmp_path),
    ):
        pass
