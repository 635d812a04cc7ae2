"""The write-ahead log of the local stack's databases."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from ops.stack.databases import make_private
from ops.stack.sqlite import use_write_ahead_log


def test_the_file_remembers_it(tmp_path: Path) -> None:
    """A later connection finds the write-ahead log on, and what was in the database."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
    use_write_ahead_log(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_other_stores_are_left_alone(tmp_path: Path) -> None:
    """A server's URL is no file, and a missing file isn't made."""
    use_write_ahead_log("mysql://host/zenml")
    use_write_ahead_log(f"sqlite:///{tmp_path / 'none.db'}")
    assert not list(tmp_path.iterdir())


def test_databases_are_for_their_owner_while_files_come_and_go(tmp_path: Path) -> None:
    """Files and folders of another command vanish between being listed and being changed."""
    kept = tmp_path / "mlflow.db"
    kept.touch(0o644)
    done = threading.Event()

    def be_at_work() -> None:
        while not done.is_set():
            (tmp_path / "step").mkdir()
            (tmp_path / "step" / "a.db-wal").touch()
            (tmp_path / "step" / "a.db-wal").unlink()
            (tmp_path / "step").rmdir()

    other = threading.Thread(target=be_at_work)
    other.start()
    try:
        for _ in range(2000):
            make_private(tmp_path)
    finally:
        done.set()
        other.join()
    assert kept.stat().st_mode & 0o777 == 0o600
