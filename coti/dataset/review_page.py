"""The review page's server: a set's images, what was decided of them, and a place to decide more.

It listens on this machine's loopback alone, answers under its own names alone, and only below a
path that nobody can guess. Images are asked for by their hash, so no path comes from outside.
"""

from __future__ import annotations

import getpass
import hashlib
import io
import json
import os
import secrets
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coti.core.checkout import find_file
from coti.core.errors import ConfigError, CotiError, PoolError, StoreError
from coti.core.file_rules import FileRefused, read_inside
from coti.dataset.chosen_set import ChosenSet
from coti.pool.chosen_images import bytes_reader
from coti.pool.manifest import ACCEPTED
from coti.pool.open_source import open_source
from coti.pool.originals import originals
from coti.selection.decisions import (
    REVIEW,
    Decision,
    ReviewWriter,
    last_word,
    read_decisions,
)

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ReviewedSet", "login_name", "review_server", "summary"]

_SIDE = 512
"""Pixels of a thumbnail's longer side, at most."""
_LARGEST_BODY = 50_000
_FILES = {
    "": ("review.html", "text/html; charset=utf-8"),
    "review.js": ("review.js", "text/javascript; charset=utf-8"),
    "review.css": ("review.css", "text/css; charset=utf-8"),
}


class ReviewedSet:
    """A set's chosen images and the decisions beside it; several threads may ask."""

    def __init__(
        self,
        chosen: ChosenSet,  # lies in a folder
        who: str,
        *,
        also: int = 0,  # images that were not chosen, the best ones
        pool: str | None = None,  # where it lies by now, for images that the set has not
        cache: Path | None = None,  # folder that keeps what is fetched again
    ) -> None:
        """Nothing is read before it is asked for."""
        import pandas as pd

        assert chosen.folder is not None
        self._set, self._folder = chosen, chosen.folder / REVIEW
        self._writer = ReviewWriter(self._folder, who)
        table = chosen.table
        others = table[(table["order"] == 0) & (table["status"] == ACCEPTED)]
        self._shown = pd.concat([chosen.chosen, others.head(also)]).drop_duplicates("sha256")
        self._pool, self._cache = pool or chosen.pool, cache
        self._rows = {str(row["sha256"]): row for row in self._shown.to_dict("records")}
        self._lock = threading.Lock()
        self._known: tuple[Any, list[Decision]] = (None, [])
        self._thumbnails: dict[str, bytes] = {}
        self._decoding = threading.Lock()
        self._open = ExitStack()
        self._read: Callable[[bytes, str], Image.Image] | None = None

    def close(self) -> None:
        """End the process that decodes images."""
        self._open.close()

    @property
    def who(self) -> str:
        """Whose decisions are made here."""
        return self._writer.who

    @property
    def concept(self) -> str:
        """The concept's name."""
        return self._set.concept

    def __contains__(self, image: str) -> bool:
        """Whether the set has an image of this sha256."""
        return image in self._rows

    def images(self) -> list[dict[str, Any]]:
        """What the page shows of each image, the chosen ones first; ``order`` 0 was not chosen."""
        return [
            {
                "image": image,
                "name": str(row["source"]),
                "caption": str(row["caption"]),
                "order": int(row["order"]),
                "why": str(row["why"]),
                "scores": {
                    name: round(float(row[name]), 2)
                    for name in ("score", "s_aes", "s_con")
                    if float(row[name]) == float(row[name])
                },
            }
            for image, row in self._rows.items()
        ]

    def decisions(self) -> list[Decision]:
        """All there are by now, those of other people too, by time; raises StoreError."""
        with self._lock:
            stamp = self._stamp()
            if stamp != self._known[0]:
                self._known = stamp, read_decisions(self._folder)
            return self._known[1]

    def _stamp(self) -> Any:
        try:
            found = [(each.name, each.stat()) for each in os.scandir(self._folder)]
        except OSError:
            return ("none",)
        return sorted((name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in found)

    def said(self) -> dict[str, dict[str, Any]]:
        """By image: ``verdict``, ``rating`` and ``caption`` as they stand, and ``who`` said one of
        these last."""
        found: dict[str, dict[str, Any]] = {}
        for each in self.decisions():
            if each.image in self._rows:
                own = found.setdefault(each.image, {})
                own[each.kind] = "" if each.what == "undecided" else each.value or each.what
                if each.kind != "verdict":
                    own[each.kind] = each.value
                own["who"] = each.who
        return found

    def decide(self, image: str, what: str, value: str) -> Decision:
        """Append a decision; it is on the disk when this returns.

        Raises:
            ConfigError: it is none, or of an image that the set has not.
            StoreError: it cannot be written.
        """
        if image not in self._rows:
            raise ConfigError(f"the set has no image {image[:80]!r}: load the page again.")
        known: list[datetime] = [each.when for each in self.decisions()[-1:]]
        return self._writer.decide(image, what, value, known[0] if known else None)

    def thumbnail(self, image: str) -> bytes:
        """A small JPEG of it.

        Raises:
            PoolError: it is not there, has changed, or cannot be decoded.
        """
        if image not in self._thumbnails:
            with self._decoding:
                if image not in self._thumbnails:
                    self._thumbnails[image] = self._made(image)
        return self._thumbnails[image]

    def _made(self, image: str) -> bytes:
        row = self._rows[image]
        folder, name = self._set.folder, str(row["image"])
        assert folder is not None
        if not name:
            self._read_pool()
            return self._thumbnails[image]
        try:
            data = read_inside(folder, name)
        except FileRefused as error:
            raise PoolError(f"{folder / name} cannot be read ({error}): curate again.") from error
        if hashlib.sha256(data).hexdigest() != image:
            raise PoolError(f"{folder / name} is another file than was chosen: curate again.")
        return self._small(data, name)

    def _read_pool(self) -> None:
        """What the set has not itself, as a run's: all at once, in one pass over the pool."""
        if not self._pool:
            raise PoolError("The set's pool was no place to read from again: give --pool.")
        source = open_source(find_file(self._pool), self._set.rules, cache_dir=self._cache)
        for each in originals(source, self._shown[self._shown["image"] == ""]):
            digest = hashlib.sha256(each.data).hexdigest()
            self._thumbnails[digest] = self._small(each.data, each.name)

    def _small(self, data: bytes, name: str) -> bytes:
        if self._read is None:
            self._read = self._open.enter_context(bytes_reader())
        image = self._read(data, name)
        image.thumbnail((_SIDE, _SIDE))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=85)
        return stream.getvalue()


def login_name() -> str:
    """Whose decisions they are where nobody says it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


class _Server(ThreadingHTTPServer):
    """Says nothing of browsers that hang up."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def summary(reviewed: ReviewedSet) -> dict[str, Any]:
    """How far a review is, in numbers: images by what holds of them, decisions by who made them."""
    images = {each["image"] for each in reviewed.images()}
    made = [each for each in reviewed.decisions() if each.image in images]
    holds = last_word(made)
    words = list(holds.verdicts.values())
    people: dict[str, int] = {}
    for each in made:
        people[each.who] = people.get(each.who, 0) + 1
    return {
        "images": len(images),
        "kept": words.count("keep"),
        "dropped": words.count("drop"),
        "undecided": len(images) - len(words),
        "rated": len(holds.ratings),
        "captioned": len(holds.captions),
        "decisions": len(made),
        "people": people,
    }


def review_server(reviewed: ReviewedSet, port: int = 0) -> tuple[ThreadingHTTPServer, str]:
    """A server on this machine's loopback, not serving yet, and its page's address.

    Args:
        reviewed: the set.
        port: 0 takes a free one.

    Raises:
        StoreError: the port is taken.
    """
    token = secrets.token_urlsafe(24)
    try:
        server = _Server(("127.0.0.1", port), _handler(reviewed, token))
    except OSError as error:
        raise StoreError(
            f"port {port} of this machine cannot be used ({error.strerror}): give another --port."
        ) from error
    return server, f"http://127.0.0.1:{server.server_address[1]}/{token}/"


def _handler(reviewed: ReviewedSet, token: str) -> Callable[..., BaseHTTPRequestHandler]:
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: addresses hold the token."""

        def _answer(self, code: int, data: bytes, kind: str, cache: str = "no-store") -> None:
            self.send_response(code)
            for name, value in (
                ("Content-Type", kind),
                ("Content-Length", str(len(data))),
                ("Cache-Control", cache),
                ("Content-Security-Policy", policy),
                ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"),
                ("Cross-Origin-Resource-Policy", "same-origin"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def _json(self, code: int, value: Any) -> None:
            self._answer(code, json.dumps(value).encode(), "application/json")

        def _asked(self) -> str | None:
            """What is asked for below the token; None where it is nobody's business."""
            port = self.connection.getsockname()[1]
            names = {f"127.0.0.1:{port}", f"localhost:{port}"}
            origin = self.headers.get("Origin")
            foreign = origin is not None and origin.removeprefix("http://") not in names
            first, _, rest = self.path.removeprefix("/").partition("/")
            known = secrets.compare_digest(first.encode(), token.encode())
            if self.headers.get("Host") not in names or foreign or not known:
                self.close_connection = True
                self._answer(404, b"not found", "text/plain")
                return None
            return rest

        def do_GET(self) -> None:
            asked = self._asked()
            if asked is None:
                return
            try:
                if asked in _FILES:
                    name, kind = _FILES[asked]
                    self._answer(200, Path(__file__).with_name(name).read_bytes(), kind)
                elif asked == "images":
                    said = {"concept": reviewed.concept, "who": reviewed.who}
                    self._json(200, {**said, "images": reviewed.images()})
                elif asked == "decisions":
                    self._json(200, reviewed.said())
                elif asked.removeprefix("image/") in reviewed:
                    data = reviewed.thumbnail(asked.removeprefix("image/"))
                    self._answer(200, data, "image/jpeg", "private, max-age=86400, immutable")
                else:
                    self._answer(404, b"not found", "text/plain")
            except CotiError as error:
                self._json(500, {"error": str(error)})

        def do_POST(self) -> None:
            asked = self._asked()
            if asked is None:
                return
            length = self.headers.get("Content-Length", "")
            if asked != "decide" or not length.isdecimal() or int(length) > _LARGEST_BODY:
                self.close_connection = True
                self._answer(404, b"not found", "text/plain")
                return
            try:
                said = json.loads(self.rfile.read(int(length)))
                texts = [str(said[name]) for name in ("image", "what", "value")]
            except (ValueError, KeyError, TypeError):
                self._json(400, {"error": "no decision: image, what and value are needed."})
                return
            try:
                made = reviewed.decide(*texts)
                self._json(200, {"when": made.when.isoformat(), "who": made.who})
            except ConfigError as error:
                self._json(400, {"error": str(error)})
            except CotiError as error:
                self._json(500, {"error": str(error)})

    return Handler
