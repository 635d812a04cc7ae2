"""The whole tiny pipeline on the s3 stack: a real server that checks signatures."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coti.core.weights import hash_of
from tests.coti.pool.s3_server import ACCESS, SECRET, Proxy, client, s3_server
from tests.e2e.conftest import ROOT, TINY, Workspace, make_workspace
from tests.e2e.learned import learned

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHORT: dict[str, Any] = {"controller": {"max_cycles": 1}}
BUCKET = "coti-artifacts"
PASSWORD = "planted-mlflow-password"
DATABASE = "local_stores/default_zen_store/zenml.db"
MLFLOW = "mlflow-s3.db"
FILE = "learned_embeds.safetensors"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the bucket for artifacts."""
    with s3_server(tmp_path_factory.mktemp("weed")) as endpoint:
        client(endpoint).create_bucket(Bucket=BUCKET)
        yield endpoint


@pytest.fixture(scope="module")
def proxy(server: str) -> Iterator[Proxy]:
    """What stands between the run and the server."""
    found = Proxy(server)
    found.start()
    yield found
    found.stop()


def _up(space: Workspace, endpoint: str, **changes: str) -> None:
    space.extra.update(
        {
            "COTI_S3_BUCKET": BUCKET,
            "COTI_S3_PREFIX": "runs",
            "COTI_S3_ENDPOINT": endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "MLFLOW_TRACKING_USERNAME": "coti-test",
            "MLFLOW_TRACKING_PASSWORD": PASSWORD,
            **changes,
        }
    )
    done = space.command("coti", "stack", "up", "s3")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory, proxy: Proxy) -> Workspace:
    """A checkout whose stack is s3, through the proxy."""
    found = make_workspace(tmp_path_factory.mktemp("s3"))
    _up(found, proxy.address)
    return found


@pytest.fixture(scope="module")
def undisturbed(space: Workspace) -> bytes:
    """The embedding that is learned without stores and their faults."""
    return learned(space, **SHORT)


def test_a_store_that_stays_away_is_one_sentence(space: Workspace, proxy: Proxy) -> None:
    """Gone until the run has given up: it says so once, and writes nothing."""
    _ask(space, 2)
    _up(space, proxy.address)
    proxy.done.clear()
    # Not when training starts: a checkpoint that cannot be read has a sentence of its own.
    outage = threading.Thread(target=_stays_away, args=(space, proxy))
    outage.start()
    try:
        run = str(space.config("run", **SHORT))
        done = space.command("zenml", "pipeline", "run", "coti_concept", "-c", run)
    finally:
        outage.join()
        proxy.down = False
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1, said[-2000:]
    assert proxy.done["refuse"] > 0
    assert said.count("The object store failed in mid-run (") == 1, said[-2000:]
    assert "the same command goes on from where it was." in said
    assert "Traceback" not in said
    assert SECRET not in said
    assert not (space.root / "outputs" / "latest").exists()


def test_the_same_command_goes_on_through_throttling_cut_answers_and_ten_seconds_without_a_store(
    space: Workspace, proxy: Proxy, undisturbed: bytes
) -> None:
    """Two in 40 requests of each method are spoilt, and the store is gone for ten seconds.

    The undisturbed run's embedding, registered and promoted once.
    """
    _ask(space, 10)
    _up(space, proxy.address)
    assert space.command("coti", "stack", "check").returncode == 0
    proxy.methods.clear()
    proxy.done.clear()
    proxy.spoil = lambda method, turn: {10: "cut", 30: "throttle"}.get(turn % 40, "")
    outage = threading.Thread(target=_outage, args=(space, proxy))
    outage.start()
    try:
        space.run(space.config("run", **SHORT))
    finally:
        proxy.spoil = lambda method, turn: ""
        proxy.down = False
        outage.join()
    for fault in ("throttle", "cut upload", "cut answer", "refuse"):
        assert proxy.done[fault] > 0, (fault, proxy.done, proxy.methods)
    assert space.vectors() == undisturbed
    assert space.cached_steps()["train_cycle_0"] == "cached"
    assert space.registered(MLFLOW) == 1
    assert space.audit(MLFLOW) == [("promote", 1)]


def _outage(space: Workspace, proxy: Proxy) -> None:
    space.wait_for("Step `train_cycle_1` has started")
    proxy.down = True
    time.sleep(10)
    proxy.down = False


def test_every_artifact_can_be_read_back(space: Workspace, undisturbed: bytes) -> None:
    """Each output of each step of the run loads from the bucket, by its own materializer."""
    loaded = space.query(
        "import json; from zenml.client import Client\n"
        "run = Client().list_pipeline_runs(size=1, sort_by='desc:created').items[0]\n"
        "found = [(a.uri, type(a.load()).__name__) for s in run.steps.values()"
        " for group in s.outputs.values() for a in group]\n"
        "print(json.dumps(found))"
    )
    assert len(loaded) > 20
    assert all(uri.startswith(f"s3://{BUCKET}/runs/") for uri, _ in loaded)
    assert "Embedding" in {kind for _, kind in loaded}


def test_mlflows_files_lie_in_the_bucket_too(space: Workspace, server: str) -> None:
    """Sample grids and embeddings; and the registry's file comes back from there."""
    found = client(server).list_objects_v2(Bucket=BUCKET, Prefix="runs/mlflow/ankle-boot/")
    names = [item["Key"] for item in found["Contents"]]
    assert any(name.endswith("embedding/learned_embeds.safetensors") for name in names)
    assert any("/images/all cycles~samples" in name for name in names)
    out = space.root / "exported"
    done = space.command("coti", "registry", "export", "ankle boot", "1", "--output", str(out))
    assert done.returncode == 0, done.stderr
    assert (out / FILE).read_bytes() == (space.latest() / FILE).read_bytes()


def test_the_same_command_again_comes_from_the_cache(space: Workspace) -> None:
    """Nothing is computed twice with artifacts on S3 either."""
    space.run(space.config("run", **SHORT))
    status = space.cached_steps()
    assert {name.split("_cycle")[0] for name, value in status.items() if value != "cached"} <= {
        "track",
        "track_cycle",
        "register_embedding",
        "write_outputs",
    }
    assert space.registered(MLFLOW) == 1
    assert space.audit(MLFLOW) == [("promote", 1)]


def test_pool_and_base_model_from_the_store_learn_register_and_generate_the_same(
    space: Workspace, server: str, proxy: Proxy, undisturbed: bytes, tmp_path: Path
) -> None:
    """The pool is read with the stack's key, as in a pod, whose environment has none; the model is
    ``s3://`` with its pinned hash. The embedding knows where its model is, so that generating
    needs no option, and the registry's gate knows the model's vocabulary."""
    base = ROOT / "assets" / "models" / "base"
    store, given = client(server), space.root / "assets" / "pools" / "ankle_boot" / "pool"
    for folder, prefix in ((given, "pool"), (base, "models/base")):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = f"{prefix}/{path.relative_to(folder).as_posix()}"
                store.put_object(Bucket=BUCKET, Key=name, Body=path.read_bytes())
    model = {"base_model": f"s3://{BUCKET}/models/base", "sha256": hash_of(base)}
    # It lies elsewhere than the bundled one, so the run file has to say that these are meant.
    models = "assets/models"
    judged_by: dict[str, Any] = {
        "scorer": {"model": f"{models}/scorer"},
        "aesthetic": {
            "head": f"{models}/aesthetic/aesthetic_head.safetensors",
            "ratings": f"{models}/aesthetic/ratings.safetensors",
        },
        "evaluation": {
            **{**TINY, **SHORT}["evaluation"],
            "judge": f"{models}/judge",
            "ssl_judge": f"{models}/ssl_judge",
        },
    }
    rules = {"s3_endpoint": proxy.address}
    pool = {"pool": f"s3://{BUCKET}/pool", "pool_rules": rules}
    kept = dict(space.extra)
    space.extra.update({"AWS_ENDPOINT_URL": server, "COTI_CACHE": str(tmp_path / "cache")})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del space.extra[name]
    try:
        config = space.config("from-s3", **{**SHORT, **pool, **judged_by}, model=model)
        done = space.run(config)
        embedding = str(space.latest() / FILE)
        space.extra.update(kept)
        generated = space.command("coti", "generate", "--embedding", embedding, "--num-images", "1")
    finally:
        space.extra.clear()
        space.extra.update(kept)
    assert "Registry    ankle-boot version" in done.stdout + done.stderr
    assert space.vectors() == undisturbed
    assert generated.returncode == 0, generated.stderr
    assert "Note:" not in generated.stderr


def _ask(space: Workspace, times: int) -> None:
    """As it is, ten times: a store that does not answer is waited for for minutes."""
    path = space.root / "configs" / "stacks" / "s3.yaml"
    text, count = re.subn(r"max_attempts: \d+", f"max_attempts: {times}", path.read_text("utf-8"))
    assert count == 1
    path.write_text(text, encoding="utf-8")


def _stays_away(space: Workspace, proxy: Proxy) -> None:
    space.wait_for("Step `judge_cycle_0` has started")
    proxy.down = True


def test_no_lease_is_left_behind(server: str) -> None:
    """A promotion gives its lease back."""
    found = client(server).list_objects_v2(Bucket=BUCKET, Prefix="runs/coti_leases/")
    assert found["KeyCount"] == 0


def test_check_says_what_works(space: Workspace) -> None:
    """All components of a sound stack."""
    done = space.command("coti", "stack", "check")
    assert done.returncode == 0, done.stdout
    assert "ok    artifact_store coti-s3" in done.stdout
    assert "ok    experiment_tracker coti-mlflow-s3" in done.stdout


@pytest.fixture(scope="module")
def impatient(space: Workspace) -> Workspace:
    """That checkout, asking a store that does not answer only twice."""
    _ask(space, 2)
    return space


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "not-this-one"}, r"key is refused .*AWS_ACCESS_KEY_ID"),
        ({"COTI_S3_BUCKET": "nowhere"}, r"no bucket 'nowhere'.*make it"),
        ({"COTI_S3_ENDPOINT": "http://127.0.0.1:9"}, r"127\.0\.0\.1:9 does not answer"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_sentence(
    impatient: Workspace, proxy: Proxy, changes: dict[str, str], said: str
) -> None:
    """From `coti stack check` and from the run itself; nothing is written, no secret is shown."""
    space = impatient
    _up(space, proxy.address, **changes)
    checked = space.command("coti", "stack", "check")
    ran = space.command("zenml", "pipeline", "run", "coti_concept", "-c", "run.yaml")
    for done in (checked, ran):
        assert done.returncode == 1
        text = " ".join((done.stdout + done.stderr).split())
        assert re.search(said, text), text[-2000:]
        assert "Traceback" not in text
        assert SECRET not in text
        assert PASSWORD not in text
        assert "not-this-one" not in text


def test_no_secret_is_left_anywhere(space: Workspace, server: str) -> None:
    """Neither in the checkout's or ZenML's files, logs and databases nor in the bucket.

    ZenML's own secret store is where they belong; on SQLite it does not encrypt them. So its
    database is read table by table.
    """
    database = space.state / "zenml" / DATABASE
    for path in [*_files(space.root), *_files(space.state)]:
        if path.name.startswith(database.name) and path.parent == database.parent:
            continue
        _holds_none(path.read_bytes(), path)
    store = client(server)
    keys = [
        item["Key"]
        for page in store.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        for item in page["Contents"]
        if item["Size"] < 1 << 24
    ]
    assert any("/logs/" in key for key in keys)
    for key in keys:
        _holds_none(store.get_object(Bucket=BUCKET, Key=key)["Body"].read(), key)
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        tables = opened.execute("select name from sqlite_master where type = 'table'").fetchall()
        assert ("secret",) in tables
        names = [name for (name,) in opened.execute("select name from secret").fetchall()]
        assert {"coti-s3", "coti-mlflow"} <= set(names)
        for (table,) in tables:
            if table != "secret":
                for row in opened.execute(f'select * from "{table}"').fetchall():
                    _holds_none(str(row).encode(), table)
                    _holds_none(b" ".join(map(_decoded, row)), table)


def _files(folder: Path) -> Iterator[Path]:
    """What a run may have written; the models and the pool are neither small nor its own."""
    for path in folder.rglob("*"):
        if path.is_file() and "assets" not in path.parts and path.stat().st_size < 1 << 24:
            yield path


def _decoded(cell: object) -> bytes:
    """What ZenML keeps in base64, such as a component's configuration; nothing of other cells."""
    if isinstance(cell, (str, bytes)):
        with contextlib.suppress(binascii.Error, ValueError):
            return base64.b64decode(cell, validate=True)
    return b""


def _holds_none(content: bytes, place: object) -> None:
    """None of the secrets that were planted."""
    for secret in (SECRET, PASSWORD, "not-this-one"):
        assert secret.encode() not in content, (secret, place)
