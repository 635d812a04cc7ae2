"""The databases of a stack on this machine: SQLite files of ZenML and MLflow, whole and known."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import yaml

from coti.core.errors import StoreError
from coti.core.whole_files import write_whole
from ops.quiet import ROOT

__all__ = [
    "SQLITE",
    "STORE",
    "damaged",
    "database_problem",
    "made_whole",
    "require_databases",
    "sqlite_sentence",
    "zenml_database",
]

SQLITE = "sqlite:///"
_MIGRATIONS = {"ZenML": "zenml/zen_stores/migrations", "MLflow": "mlflow/store/db_migrations"}
"""Where a library keeps a file for every form that its databases ever had."""
STORE = Path("local_stores", "default_zen_store", "zenml.db")
"""ZenML's own database, below the folder of its configuration."""


def zenml_database() -> Path | None:
    """ZenML's SQLite file, found without importing ZenML; None where its store is a server's."""
    folder = os.environ.get("ZENML_CONFIG_PATH")
    if not folder or os.environ.get("ZENMLSTORE_URL"):
        return None
    try:
        known = yaml.safe_load(Path(folder, "config.yaml").read_text(encoding="utf-8")) or {}
        url = str(known["store"]["url"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return Path(folder) / STORE
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None


def database_problem(path: Path, library: str) -> str | None:
    """Why a database cannot be used, with the remedy; None where it can, or is not there yet.

    Args:
        path: of the file.
        library: ``ZenML`` or ``MLflow``.
    """
    if not path.is_file() or not path.stat().st_size:
        return None
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as found:
            said = found.execute("PRAGMA quick_check(1)").fetchone()[0]
            if said != "ok":
                return damaged(path, library, said)
            table = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
            if not found.execute(table).fetchone():
                return None
            rows = found.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.OperationalError as error:  # rights, a lock, a full disk
        return f"{path} cannot be used ({error}): free space, or mend the path or its rights."
    except sqlite3.DatabaseError as error:
        return damaged(path, library, str(error))
    spec = find_spec(library.lower())
    place = Path((spec.origin if spec else None) or "").parents[1] / _MIGRATIONS[library]
    unknown = [str(row[0]) for row in rows if not any(place.glob(f"versions/{row[0]}_*.py"))]
    if unknown:
        return (
            f"{path} was written by a newer {library} than this one (its form is {unknown[0]}): "
            "run `make install` with that version's lock, or restore the copy from before."
        )
    return None


def damaged(path: Path, library: str, why: str) -> str:
    """That a library's database is damaged, and what to do."""
    return (
        f"{path}, {library}'s database, is damaged ({' '.join(why.split())[:80]}): restore a copy, "
        "or move it away and repeat `coti stack up`, which makes an empty one."
    )


@contextmanager
def made_whole(database: Path | None, root: Path = ROOT) -> Iterator[None]:
    """A database that is not there yet is made whole, or is not there again.

    Libraries make theirs in many steps, and one that was interrupted in between is taken for
    whole ever after. A note says meanwhile which is in the making: what a killed process left is
    removed by the next that makes it, and nothing that was ever whole.
    """
    note = root / ".coti" / ".making"
    if note.is_file():
        for name in note.read_text(encoding="utf-8").splitlines():
            _remove_database(Path(name))
        note.unlink()
    if database is None or database.exists():
        yield
        return
    write_whole(note, str(database).encode())
    try:
        yield
    except Exception:
        _remove_database(database)
        raise
    finally:
        note.unlink()


def _remove_database(path: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def require_databases(root: Path = ROOT) -> None:
    """This repository's databases are whole, and of a form that the libraries know.

    Raises:
        StoreError: one is not; says which and what to do.
    """
    store = zenml_database()
    known = [(path, "MLflow") for path in sorted((root / ".coti").glob("mlflow*.db"))]
    for path, library in [*([(store, "ZenML")] if store else []), *known]:
        problem = database_problem(path, library)
        if problem is not None:
            raise StoreError(problem)


def make_private(folder: Path) -> None:
    """Databases below are for their owner alone, also where the folder is opened later.

    They hold passwords and keys. Another command may be at work there, whose files come and go.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            if ".db" in name:
                with suppress(FileNotFoundError):
                    os.chmod(os.path.join(place, name), 0o600)


def sqlite_sentence(error: BaseException) -> str | None:
    """What SQLite's failure says to the user; None for any other error."""
    if not isinstance(error, sqlite3.DatabaseError):
        return None
    words = " ".join(str(error).split())
    if "full" in words:
        return f"The disk is full (SQLite: {words}): free space, then run again."
    if "malformed" in words or "not a database" in words:
        return (
            f"A database of ZenML or MLflow is damaged ({words}): `coti stack check` says which "
            "and what to do."
        )
    if isinstance(error, sqlite3.OperationalError) and not words.startswith(("no such", "near")):
        return (
            f"A database of ZenML or MLflow cannot be used (SQLite: {words}): `coti stack check` "
            "says more; then run the same command again."
        )
    return None
