"""Weights from a local path, the hub or S3, checked against a pinned hash before they are read."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from coti.core.errors import ModelError
from coti.core.extras import install_extra
from coti.core.file_rules import paths_of_keys, user_path
from coti.core.hashes import fingerprint_files
from coti.core.whole_files import whole_folder

if TYPE_CHECKING:
    import torch

__all__ = [
    "check_hash",
    "full_disk",
    "hash_of",
    "is_safetensors",
    "kept_weights",
    "local_weights",
    "read_pickled",
]

_HUB_FILE = re.compile(r"^hf://([\w.-]+/[\w.-]+)(?:@([\w.-]+))?/(.+)$")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def local_weights(source: str | Path, sha256: str | None = None) -> Path:
    """Where a weights file or folder lies on this machine, fetched and checked if need be.

    What comes from S3 is kept under ``$COTI_CACHE`` (default ``~/.cache/coti``) by its hash.

    Args:
        source: a path; ``hf://owner/name@revision/file``; ``s3://bucket/key`` or a prefix.
        sha256: pinned hash, as :func:`hash_of` gives it; needed for ``s3://``.

    Raises:
        ModelError: there is nothing, it cannot be fetched, or its hash is another one.
        StoreError: what is kept of it is damaged, and not ours to replace.
    """
    text = str(source)
    if sha256:
        _check_form(text, sha256)
    if text.startswith("s3://"):
        return _from_s3(text, sha256)
    path = _from_hub(text) if text.startswith("hf://") else user_path(text)
    if not path.exists():
        raise ModelError(f"{text} does not exist: check the path, or fetch the weights first.")
    if sha256:
        check_hash(path, sha256, text)
    return path


def hash_of(path: Path) -> str:
    """sha256 of a file's bytes; of a folder, of its files' names and bytes (fingerprint_files)."""
    if path.is_dir():
        return fingerprint_files([path])
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_hash(path: Path, sha256: str, name: str) -> None:
    """Refuse weights that are not the pinned ones.

    Raises:
        ModelError: naming both hashes.
    """
    found = hash_of(path)
    if found != sha256.lower():
        raise ModelError(
            f"{name} is not the pinned weights: its sha256 is {found}, pinned is {sha256}. Fetch "
            "it again, or pin the new hash if you trust it."
        )


def full_disk(error: BaseException, folder: Path | str, variable: str) -> str | None:
    """What to do about a full disk, if that lies behind an error or what it was raised from.

    ``folder`` is the cache that was written to, ``variable`` of the environment moves it.
    """
    left, seen = [error], set[int]()
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        number = each.errno if isinstance(each, OSError) else None
        # The hub client's Rust parts put the system's words into errors of their own.
        if number in _FULL or any(os.strerror(code) in str(each) for code in _FULL):
            return (
                f"the disk at {folder} is full: make room, or set {variable} to a folder on a "
                "larger disk, and run it again"
            )
        left += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
    return None


def is_safetensors(path: Path) -> bool:
    """Whether a file can be read and begins as safetensors do, whatever it is called."""
    try:
        with path.open("rb") as stream:
            size, brace = int.from_bytes(stream.read(8), "little"), stream.read(1)
        return brace == b"{" and size < path.stat().st_size
    except OSError:
        return False


def read_pickled(path: Path, sha256: str | None = None) -> Any:
    """What a ``.pth``, ``.pt`` or ``.bin`` file holds, weights only: no code in it is run.

    Where ``sha256`` is given, it is refused before reading unless it has this hash.

    Raises:
        ModelError: another hash, damaged, or more than plain tensors and containers in it.
    """
    import pickle

    import torch
    from torch.nn import ParameterDict, ParameterList

    if not path.is_file():
        raise ModelError(f"{path} does not exist: check the path.")
    if sha256:
        check_hash(path, sha256, str(path))
    if is_safetensors(path):
        raise ModelError(
            f"{path} is a safetensors file by another name: name it {path.stem}.safetensors."
        )
    if _unpacks_to_more(path):
        raise ModelError(
            f"{path} unpacks to more than its size, which files of weights do not: it is not read. "
            "Get it as safetensors."
        )
    try:
        # Containers of tensors that older tools wrote; their reconstruction runs no other code.
        with (
            torch.serialization.safe_globals([ParameterDict, ParameterList]),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # of old pickle protocols
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} is damaged or holds more than tensors, which could run code: it is not read. "
            "Get it as safetensors."
        ) from error
    if any(_claims_more(tensor) for tensor in _tensors(found)):
        raise ModelError(
            f"{path} holds a tensor that is larger than its numbers in the file, or no plain one: "
            "it is not read. Get it as safetensors."
        )
    return found


def _unpacks_to_more(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(each.file_size for each in archive.infolist()) > path.stat().st_size
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # of before there was a zip in it, or torch says what is wrong


def _tensors(found: Any) -> Iterator[torch.Tensor]:
    """Those in containers, however nested; each container once."""
    import torch
    from torch.nn import ParameterDict, ParameterList

    lists = (list, tuple, set, ParameterList)

    waiting, seen = [found], set[int]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, (Mapping, ParameterDict, *lists)) and id(one) not in seen:
            seen.add(id(one))
            waiting += one if isinstance(one, lists) else one.values()


def _claims_more(tensor: torch.Tensor) -> bool:
    """A few bytes may stand for a tensor of any size by its strides, or as sparse or meta."""
    import torch

    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        return True
    return tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()


def _from_hub(source: str) -> Path:
    import huggingface_hub

    found = _HUB_FILE.match(source)
    if found is None:
        raise ModelError(f"{source!r} is no file on the hub: write hf://owner/name@revision/file.")
    repository, revision, name = found.groups()
    try:
        return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision))
    except Exception as error:  # the client lets its HTTP library's errors through
        if full := full_disk(error, huggingface_hub.constants.HF_HUB_CACHE, "HF_HOME"):
            raise ModelError(f"{source} cannot be fetched, {full}.") from error
        raise ModelError(
            f"{source} is neither cached nor to be had from the hub ({type(error).__name__}): "
            "check its name, your access to it and the network, or give a local path."
        ) from error


def _from_s3(source: str, sha256: str | None) -> Path:
    """A file or prefix, copied once into a folder named by its hash."""
    if not sha256:
        raise ModelError(
            f"{source} needs its pinned sha256: `coti weights hash` prints that of a local copy."
        )
    bucket, key = _bucket_and_key(source)
    kept = _place(key, sha256)
    root = kept.parents[1]
    if kept_weights(source, sha256):
        return kept
    try:
        if kept.exists():
            print(f"{kept} is damaged: it is fetched again.", file=sys.stderr)
        # Of two processes the later one's, which are the same bytes, take the place.
        with whole_folder(kept.parent, replace=True) as part:
            _download_s3(source, bucket, key, part / kept.name)
            check_hash(part / kept.name, sha256, source)
    except OSError as error:
        if full := full_disk(error, root, "COTI_CACHE"):
            raise ModelError(
                f"{source} cannot be fetched, {full}; weights that were fetched before are kept."
            ) from error
        raise ModelError(
            f"{source} cannot be kept in {root} ({error}): set COTI_CACHE to a folder that can be "
            "written to."
        ) from error
    return kept


def kept_weights(source: str, sha256: str | None) -> Path | None:
    """What was fetched of an ``s3://`` source before, if it is still what its hash says."""
    if not sha256:
        return None
    _check_form(source, sha256)
    kept = _place(_bucket_and_key(source)[1], sha256)
    return kept if kept.exists() and hash_of(kept) == sha256.lower() else None


def _check_form(source: str, sha256: str) -> None:
    """A hash names a folder, too: it must be one."""
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ModelError(
            f"The sha256 of {source} is {sha256[:80]!r}: it has 64 hexadecimal digits, as "
            "`coti weights hash` prints them."
        )


def _bucket_and_key(source: str) -> tuple[str, str]:
    parts = urlsplit(source)
    bucket, key = parts.netloc, parts.path.strip("/")
    if not bucket or "@" in bucket or not key or key.rsplit("/", 1)[-1] in (".", ".."):
        raise ModelError(f"{source!r} names no object: write s3://bucket/key, without credentials.")
    return bucket, key


def _place(key: str, sha256: str) -> Path:
    """Where weights from S3 are kept."""
    root = user_path(os.environ.get("COTI_CACHE", "~/.cache/coti")) / "weights"
    return root / sha256.lower() / key.rsplit("/", 1)[-1]


def _download_s3(source: str, bucket: str, key: str, target: Path) -> None:
    """One object to a file, or all below a prefix to a folder.

    Raises:
        ModelError: the store has nothing there, refuses, or does not answer.
        OSError: it cannot be written here.
    """
    try:
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise ModelError(f"boto3 is not installed: {install_extra('pool')}.") from error
    try:
        client = boto3.session.Session().client("s3")
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        names = [item["Key"] for page in pages for item in page.get("Contents", ())]
        if key in names:
            client.download_file(bucket, key, str(target))
            return
        inside = [name for name in names if name.startswith(key + "/") and name[-1] != "/"]
        if not inside:
            raise ModelError(f"There is nothing at {source}: check bucket and key.")
        try:
            paths = paths_of_keys(name[len(key) + 1 :] for name in inside)
        except ValueError as error:
            raise ModelError(f"{source} cannot be fetched: {error}.") from error
        for name, path in paths.items():
            place = target / path
            place.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, f"{key}/{name}", str(place))
    except (Boto3Error, BotoCoreError, ClientError, ConnectionError, TimeoutError) as error:
        said = " ".join(str(error).split())[:160]
        raise ModelError(
            f"{source} cannot be fetched ({type(error).__name__}: {said}): check AWS_ENDPOINT_URL, "
            "the credentials and the network, and run it again."
        ) from error
