"""SQLite files of the local stack, made fast to write."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

__all__ = ["use_write_ahead_log"]

PREFIX = "sqlite:///"


def use_write_ahead_log(url: str) -> None:
    """Switch a database to its write-ahead log; the file remembers it, other URLs are left alone.

    ZenML and MLflow commit some hundred times a run. A commit then takes one flush of the disk
    instead of several, and is as safe as before. Not every file system can do it; then the
    database stays as it is.
    """
    path = Path(url.removeprefix(PREFIX))
    if not url.startswith(PREFIX) or not path.is_file():
        return
    with closing(sqlite3.connect(path, timeout=30.0)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
