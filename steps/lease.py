"""Who may change a registry entry now: MLflow's aliases know no compare-and-swap.

A lease is a file lock beside the artifacts on one machine, its containers included, and an object
written on condition where the artifacts lie on S3. The object names its holder and when it ends, so
that a killed holder blocks nobody for long, and nobody deletes another's.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from coti.errors import RegistryError
from steps.artifact_store import read_object, s3_client

__all__ = ["S3Lease", "hold", "lease"]

LIFE = 120.0
"""Seconds after which a lease on S3 that was not given back may be taken over."""
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


@contextmanager
def lease(name: str, holder: str = "", seconds: float = 30.0) -> Iterator[Callable[[], None]]:
    """Hold ``name``'s registry entry, where the active stack keeps its artifacts.

    Yields a function that raises if the lease was lost: call it right before the write.

    Raises:
        RegistryError: somebody else holds it for longer than ``seconds``.
    """
    from zenml.client import Client

    store = Client().active_stack.artifact_store
    if str(store.path).startswith("s3://"):
        with S3Lease.on(store, name, holder).held(seconds) as still_mine:
            yield still_mine
        return
    with hold(name, holder, seconds, folder=Path(store.path) / "coti_leases") as still_mine:
        yield still_mine


@contextmanager
def hold(
    name: str, holder: str = "", seconds: float = 30.0, *, folder: Path
) -> Iterator[Callable[[], None]]:
    """The lease as a file lock: it ends with the process that holds it.

    Raises:
        RegistryError: somebody else holds it for longer than ``seconds``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=seconds):
            (folder / f"{name}.holder").write_text(holder, encoding="utf-8")
            yield lambda: None
    except Timeout as error:
        beside = folder / f"{name}.holder"
        other = (beside.read_text(encoding="utf-8") if beside.is_file() else "") or "somebody"
        raise RegistryError(
            f"another promotion of {name!r} is under way (by {other}); try again when it has ended."
        ) from error


@dataclass
class S3Lease:
    """The lease as one object, made with ``If-None-Match: *``."""

    client: Any
    """A boto3 S3 client."""
    bucket: str
    key: str
    name: str
    holder: str = ""
    life: float = LIFE
    """Seconds that it is valid."""
    _token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def on(cls, store: Any, name: str, holder: str) -> S3Lease:
        """On the bucket of a ZenML S3 artifact store, with its endpoint and keys."""
        place = urlsplit(str(store.path))
        prefix = place.path.strip("/")
        key = f"{prefix}/coti_leases/{name}.json".lstrip("/")
        return cls(s3_client(store), place.netloc, key, name, holder)

    @contextmanager
    def held(self, seconds: float) -> Iterator[Callable[[], None]]:
        """Take it, waiting at most ``seconds``; give it back at the end if it is still ours."""
        deadline = time.monotonic() + seconds
        while (other := self._take()) is not None:
            if time.monotonic() >= deadline:
                raise RegistryError(
                    f"another promotion of {self.name!r} is under way (by {other}); try again when "
                    "it has ended."
                )
            time.sleep(min(0.5, max(0.0, deadline - time.monotonic())))
        try:
            yield self._check
        finally:
            if self._read()[0].get("token") == self._token:
                self.client.delete_object(Bucket=self.bucket, Key=self.key)

    def _take(self) -> str | None:
        """None if it is ours now, else who holds it."""
        if self._put(IfNoneMatch="*"):
            return None
        present, tag = self._read()
        if not present:
            return None if self._put(IfNoneMatch="*") else "somebody"
        if present.get("token") == self._token:
            return None  # the answer to our own request was lost, and its repetition refused
        if float(present["ends"]) < time.time() and self._put(IfMatch=tag):
            return None
        return str(present.get("holder") or "somebody")

    def _put(self, **condition: str) -> bool:
        from botocore.exceptions import ClientError

        body = {"token": self._token, "holder": self.holder, "ends": time.time() + self.life}
        try:
            self.client.put_object(
                Bucket=self.bucket, Key=self.key, Body=json.dumps(body).encode(), **condition
            )
        except ClientError as error:
            if str(error.response.get("Error", {}).get("Code")) in _TAKEN:
                return False
            raise RegistryError(
                f"the lease of {self.name!r} cannot be written to {self.bucket!r} "
                f"({error.response.get('Error', {}).get('Code')}): `coti stack check` says why."
            ) from error
        # A store that does not know the condition overwrites: the last writer holds it, and the
        # others see that here.
        return bool(self._read()[0].get("token") == self._token)

    def _read(self) -> tuple[dict[str, Any], str]:
        from botocore.exceptions import ClientError

        try:
            content, tag = read_object(self.client, self.bucket, self.key)
        except ClientError:
            return {}, ""
        return dict(json.loads(content)), tag

    def _check(self) -> None:
        present, _ = self._read()
        if present.get("token") != self._token or float(present["ends"]) < time.time():
            raise RegistryError(
                f"the lease of {self.name!r} was lost to another promotion; nothing was changed."
            )
