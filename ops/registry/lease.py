"""Who may change a registry entry now: MLflow's aliases know no compare-and-swap.

A lease is a file lock beside the artifacts on one machine, its containers included, and an object
written on condition where the artifacts lie on S3. The object names its holder and when it ends, so
that a killed holder blocks nobody for long, and nobody deletes another's.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from coti.core.errors import RegistryError, StoreError
from coti.core.whole_files import write_whole
from ops.stack.artifact_store import read_object, s3_client

__all__ = ["S3Lease", "hold", "lease"]

LIFE = 120.0
"""Seconds after which a lease on S3 that was not given back may be taken over."""
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_ABSENT = ("NoSuchKey", "404")
_PAUSES = (1.0, 3.0)
"""Seconds between looks at our own lease while the store does not answer."""

logger = logging.getLogger(__name__)


@contextmanager
def lease(name: str, holder: str = "", seconds: float = 30.0) -> Iterator[Callable[[], None]]:
    """Hold ``name``'s registry entry, where the active stack keeps its artifacts.

    Yields a function that raises if the lease was lost: call it right before the write.

    Raises:
        RegistryError: somebody else holds it for longer than ``seconds``.
        StoreError: the artifact store does not answer, or refuses.
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
            write_whole(folder / f"{name}.holder", holder.encode())
            yield lambda: None
    except Timeout as error:
        beside = folder / f"{name}.holder"
        there = beside.read_bytes() if beside.is_file() else b""
        other = there.decode(errors="replace") or "somebody"
        raise RegistryError(
            f"another change of {name!r} is under way (by {other}); try again when it has ended."
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
    _written: bool = False
    """Whether there may be an object of ours."""

    @classmethod
    def on(cls, store: Any, name: str, holder: str) -> S3Lease:
        """On the bucket of a ZenML S3 artifact store, with its endpoint and keys."""
        place = urlsplit(str(store.path))
        prefix = place.path.strip("/")
        key = f"{prefix}/coti_leases/{name}.json".lstrip("/")
        # A store that is gone is known well within the lease's life.
        client = s3_client(store, attempts=5, read_seconds=10)
        return cls(client, bucket=place.netloc, key=key, name=name, holder=holder)

    @contextmanager
    def held(self, seconds: float) -> Iterator[Callable[[], None]]:
        """Take it, waiting at most ``seconds``; give it back at the end if it is still ours.

        Raises:
            RegistryError: somebody else holds it for longer, or has taken it over since.
            StoreError: the store does not answer, or refuses.
        """
        try:
            self._wait(seconds)
            yield self._check
        finally:
            if self._written:
                self._give_back()

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (other := self._take()) is not None:
            if time.monotonic() >= deadline:
                raise RegistryError(
                    f"another change of {self.name!r} is under way (by {other}); try again when "
                    "it has ended."
                )
            time.sleep(min(0.5, max(0.0, deadline - time.monotonic())))

    def _give_back(self) -> None:
        """What was done under the lease is done: a store that is gone now leaves it to its end."""
        try:
            if self._read()[0].get("token") == self._token:
                with self._answers("given back to"):
                    self.client.delete_object(Bucket=self.bucket, Key=self.key)
        except StoreError as error:
            logger.warning("%s It ends by itself after %.0f s.", error, self.life)

    def _take(self) -> str | None:
        """None if it is ours now, else who holds it."""
        if self._put(IfNoneMatch="*"):
            return None
        present, tag = self._read()
        if not present:
            return None if self._put(IfNoneMatch="*") else "somebody"
        if present.get("token") == self._token:
            return None  # the answer to our own request was lost, and its repetition refused
        if present["ends"] < time.time() and self._put(IfMatch=tag):
            return None
        return str(present.get("holder") or "somebody")

    def _put(self, **condition: str) -> bool:
        from botocore.exceptions import ClientError

        body = {"token": self._token, "holder": self.holder, "ends": time.time() + self.life}
        # Also if no answer comes: the store may have done it.
        self._written = True
        with self._answers("written to"):
            try:
                self.client.put_object(
                    Bucket=self.bucket, Key=self.key, Body=json.dumps(body).encode(), **condition
                )
            except ClientError as error:
                if _code(error) in _TAKEN:
                    return False
                raise
        # A store that does not know the condition overwrites: the last writer holds it, and the
        # others see that here.
        return bool(self._read()[0].get("token") == self._token)

    def _read(self) -> tuple[dict[str, Any], str]:
        """What is written there, and its ETag; nothing where the store says that there is none."""
        from botocore.exceptions import ClientError

        with self._answers("read from"):
            try:
                content, tag = read_object(self.client, self.bucket, self.key)
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return {}, ""
                raise
        try:
            found = json.loads(content)
            return {
                "holder": str(found["holder"]),
                "token": str(found["token"]),
                "ends": float(found["ends"]),
            }, tag
        except (ValueError, KeyError, TypeError):
            # Cut or changed: it can be held by nobody, whose token would be in it.
            return {"holder": "somebody", "token": "", "ends": 0.0}, tag

    def _check(self) -> None:
        """Right before the write: a store that can't be asked now may be able to a little later."""
        for pause in _PAUSES:
            try:
                present, _ = self._read()
                break
            except StoreError:
                logger.warning("the lease of %r cannot be read; asked again.", self.name)
                time.sleep(pause)
        else:
            present, _ = self._read()
        if present.get("token") != self._token:
            raise RegistryError(
                f"the lease of {self.name!r} was lost to another change; nothing was changed here: "
                "try again."
            )
        if present["ends"] < time.time():
            raise RegistryError(
                f"the lease of {self.name!r} was lost: it ended after {self.life:.0f} s; nothing "
                "was changed: try again."
            )

    @contextmanager
    def _answers(self, what: str) -> Iterator[None]:
        """A store that refuses or doesn't answer, after all of boto3's own tries, in a sentence."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            why = _code(error) if isinstance(error, ClientError) else type(error).__name__
            raise StoreError(
                f"the lease of {self.name!r} cannot be {what} {self.bucket!r} ({why}): "
                "`coti stack check` says why; then try again."
            ) from error


def _code(error: Any) -> str:
    """What S3 called it, ``SlowDown`` or ``404`` for instance."""
    return str(error.response.get("Error", {}).get("Code"))
