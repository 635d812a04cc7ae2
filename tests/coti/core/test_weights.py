from __future__ import annotations

import errno
import hashlib
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from coti.core.errors import ModelError, StoreError
from coti.core.weights import (
    check_hash,
    full_disk,
    hash_of,
    kept_weights,
    local_weights,
    read_pickled,
)
from coti.core.whole_files import MARKER


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[object]:
    """An S3 bucket of moto's; the store's wire protocol is tested in tests/coti/pool."""
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("COTI_CACHE", str(tmp_path / "cache"))
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="weights")
        yield client


def test_a_file_is_hashed_by_its_bytes_and_a_folder_by_its_files(tmp_path: Path) -> None:
    """sha256 as every tool prints it; a folder's changes with a name and with a byte."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"weights")
    assert hash_of(path) == hashlib.sha256(b"weights").hexdigest()
    before = hash_of(tmp_path)
    path.write_bytes(b"weight!")
    assert hash_of(tmp_path) != before


def test_other_weights_than_the_pinned_are_refused(tmp_path: Path) -> None:
    """Both hashes are named; a missing path is, too."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"weights")
    assert local_weights(path, hash_of(path).upper()) == path
    with pytest.raises(ModelError, match=r"a.bin is not the pinned weights: its sha256 is \w{64}"):
        check_hash(path, "0" * 64, "a.bin")
    with pytest.raises(ModelError, match="does not exist: check the path"):
        local_weights(tmp_path / "b.bin")


def test_s3_files_and_prefixes_are_fetched_once_by_their_hash(
    bucket: object, tmp_path: Path
) -> None:
    """The second time from the cache, though the object is gone."""
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "config.json").write_text("{}")
    (folder / "w.bin").write_bytes(b"1")
    put = bucket.put_object  # type: ignore[attr-defined]
    put(Bucket="weights", Key="sd/model/unet/config.json", Body=b"{}")
    put(Bucket="weights", Key="sd/model/w.bin", Body=b"1")
    for source, local in (
        ("s3://weights/sd/model", folder),
        ("s3://weights/sd/model/w.bin", folder / "w.bin"),
    ):
        found = local_weights(source, hash_of(local))
        assert hash_of(found) == hash_of(local)
        assert found.is_dir() == local.is_dir()
    bucket.delete_object(Bucket="weights", Key="sd/model/w.bin")  # type: ignore[attr-defined]
    assert local_weights("s3://weights/sd/model/w.bin", hash_of(folder / "w.bin")).is_file()


def test_kept_weights_are_checked_each_time(
    bucket: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One flipped bit is noticed, said, and the weights are fetched again; another machine's or
    a file's name for a hash leads nowhere.
    """
    bucket.put_object(Bucket="weights", Key="x", Body=b"1")  # type: ignore[attr-defined]
    sha256 = hashlib.sha256(b"1").hexdigest()
    found = local_weights("s3://weights/x", sha256)
    found.write_bytes(b"0")
    assert kept_weights("s3://weights/x", sha256) is None
    assert local_weights("s3://weights/x", sha256).read_bytes() == b"1"
    assert "is damaged: it is fetched again" in capsys.readouterr().err
    (found.parent / MARKER).unlink()
    found.write_bytes(b"0")
    with pytest.raises(StoreError, match="nothing that may be replaced"):
        local_weights("s3://weights/x", sha256)
    assert found.read_bytes() == b"0"
    with pytest.raises(ModelError, match="64 hexadecimal digits"):
        local_weights("s3://weights/x", "../../..")
    for source in ("s3://weights/..", "s3://key:secret@weights/x"):
        with pytest.raises(ModelError, match="names no object"):
            local_weights(source, sha256)


def test_s3_needs_a_pin_and_names_what_is_missing(bucket: object, tmp_path: Path) -> None:
    """No pin, no object, another object: one sentence each, and nothing is kept."""
    with pytest.raises(ModelError, match="needs its pinned sha256"):
        local_weights("s3://weights/sd/model")
    with pytest.raises(ModelError, match="There is nothing at s3://weights/none"):
        local_weights("s3://weights/none", "0" * 64)
    bucket.put_object(Bucket="weights", Key="x", Body=b"1")  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="is not the pinned weights"):
        local_weights("s3://weights/x", "0" * 64)
    with pytest.raises(ModelError, match=r"cannot be fetched .*NoSuchBucket"):
        local_weights("s3://other/x", "0" * 64)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_cache_that_cannot_be_written_to_is_named(
    bucket: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies below a file; what to set is said."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("COTI_CACHE", str(tmp_path / "file"))
    bucket.put_object(Bucket="weights", Key="x", Body=b"1")  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match=r"cannot be kept in .*/file/weights .*: set COTI_CACHE"):
        local_weights("s3://weights/x", hashlib.sha256(b"1").hexdigest())


@pytest.mark.parametrize(
    ("number", "full"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.ECONNRESET, False), (errno.EACCES, False)],
)
def test_a_full_disk_is_found_behind_other_errors(number: int, full: bool) -> None:
    """As cause, as context, and in the text of an error that is no OSError, as of hf_xet's."""
    system = OSError(number, os.strerror(number))
    caused, during = ValueError("a"), ValueError("b")
    caused.__cause__, during.__context__ = system, system
    system.__context__ = caused  # a ring does not hang it
    text = RuntimeError(f"Data processing error: {os.strerror(number)} (os error {number})")
    for error in (system, caused, during, text):
        said = full_disk(error, "/cache", "HF_HOME")
        assert (said is not None) == full
        assert said is None or said.startswith("the disk at /cache is full: make room, or set HF_")


class Runs:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """What a hostile file does."""
        return os.system, ("touch /tmp/coti-was-here",)


def test_a_pickle_that_runs_code_is_not_read(tmp_path: Path) -> None:
    """Tensors and plain containers are; anything else is refused without being run."""
    good, bad = tmp_path / "good.pt", tmp_path / "bad.pt"
    torch.save({"a": torch.ones(2)}, good)
    assert torch.equal(read_pickled(good)["a"], torch.ones(2))
    with pytest.raises(ModelError, match="is not the pinned weights"):
        read_pickled(good, "0" * 64)
    torch.save({"a": Runs()}, bad)
    with pytest.raises(ModelError, match="holds more than tensors, which could run code"):
        read_pickled(bad)
    bad.write_bytes(pickle.dumps(Runs()))
    with pytest.raises(ModelError, match="could run code"):
        read_pickled(bad)
    bad.write_bytes(good.read_bytes()[:50])
    with pytest.raises(ModelError, match="is damaged"):
        read_pickled(bad)


def test_a_pickle_claims_no_more_than_it_holds(tmp_path: Path) -> None:
    """By its strides, as a sparse or meta tensor, deep in containers or packed, a kilobyte may
    stand for terabytes: refused before anything is made of it.
    """
    one = torch.ones(1)
    claims = (
        one.expand(1 << 34, 1024),
        torch.sparse_coo_tensor([[0], [0]], one, (1 << 20, 1 << 20), check_invariants=True),
        torch.ones(2, 2, device="meta"),
    )
    for claim in claims:
        for held in ({"<a>": claim}, {"x": [torch.ones(2), {"y": (claim,)}]}):
            torch.save(held, tmp_path / "x.pt")
            with pytest.raises(ModelError, match="larger than its numbers in the file"):
                read_pickled(tmp_path / "x.pt")
    shared: list[object] = [torch.ones(2)]
    for _ in range(60):
        shared = [shared, shared]
    torch.save({"a": shared, "b": torch.ones(4, 4).T[1:]}, tmp_path / "x.pt")
    assert read_pickled(tmp_path / "x.pt")["b"].shape == (3, 4)
    with (
        zipfile.ZipFile(tmp_path / "x.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            data = plain.read(name)
            packed.writestr(name, bytes(10_000_000) if name.endswith("data/0") else data)
    with pytest.raises(ModelError, match="unpacks to more than its size"):
        read_pickled(tmp_path / "packed.pt")
