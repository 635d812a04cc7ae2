"""State that moves with its folder: a copied repository keeps its own and touches no other's.

ZenML and MLflow write absolute paths: of the store into ZenML's configuration, of artifacts and
experiments into their databases. A copy would therefore write into the repository that it was
copied from. Where the recorded place is another folder than this one, these paths are rewritten
before either library has opened anything.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import yaml
from filelock import FileLock, Timeout

from coti.core.errors import StoreError
from coti.core.whole_files import private_folder, write_whole
from ops.quiet import ROOT
from ops.stack.databases import SQLITE, STORE, damaged, require_databases, zenml_database

__all__ = ["forget_place", "require_state", "settle", "state_lock"]

_LOCAL = re.compile(r"(?:sqlite:///)?(/.+)/\.coti/(?:artifacts|mlflow[\w.-]*\.db)")
"""What `configs/stacks` makes of ``{root}``: the repository's root is in the first group."""


@contextmanager
def state_lock(root: Path = ROOT) -> Iterator[None]:
    """One process at a time makes or moves this repository's state; it may take it twice.

    Raises:
        StoreError: another one has it for long.
    """
    path = private_folder(root / ".coti") / ".lock"
    try:
        with FileLock(path, timeout=300, is_singleton=True):
            yield
    except Timeout as error:
        raise StoreError(
            f"Another command has been making the state in {path.parent} for five minutes: wait "
            "for its end, or end it, then run this again."
        ) from error


@cache
def require_state(root: Path = ROOT) -> None:
    """Before ZenML or MLflow is asked for anything, once a process: the state is here, and whole.

    Raises:
        StoreError: it is another repository's, damaged, or a newer library's; says what to do.
    """
    settle(root)
    require_databases(root)


def settle(root: Path = ROOT) -> bool:
    """Make the state in this folder this folder's, if it was made in another; harmless to repeat.

    Returns whether it was.

    Raises:
        StoreError: ZenML's store is not here but another repository's, which is still there; or it
            is damaged.
    """
    if not _moved(root):
        return False
    with state_lock(root):
        if moved := _moved(root):  # nobody else has done it meanwhile
            _move(moved, root)
    return True


@cache
def forget_place(root: Path = ROOT) -> None:
    """Leave this folder's name out of ZenML's cache keys: what moves with it stays cached."""
    from zenml.orchestrators import cache_utils

    original = cache_utils.generate_cache_key

    def placeless(*, artifact_store: Any, **others: Any) -> str:
        path = artifact_store.path.removeprefix(f"{root}/")
        own = artifact_store.custom_cache_key
        there = SimpleNamespace(id=artifact_store.id, path=path, custom_cache_key=own)
        return original(artifact_store=there, **others)  # type: ignore[arg-type]

    cache_utils.generate_cache_key = placeless  # type: ignore[assignment]


def _moved(root: Path) -> dict[str, str]:
    """Folders that the state was made in, and what they are now; nothing: it is here."""
    database = zenml_database()
    if database is None or "ZENML_LOCAL_STORES_PATH" in os.environ:  # a server's, or a container's
        return {}
    store = Path(os.environ["ZENML_CONFIG_PATH"]).absolute()
    moved = {}
    if database.parts[-len(STORE.parts) :] == STORE.parts and database != store / STORE:
        moved[str(database.parents[2])] = str(store)
        database = store / STORE
    for old in _recorded_roots(database) - {str(root)}:
        if not (moved or root in database.parents) and Path(old, "coti_concept.py").is_file():
            raise StoreError(
                f"ZenML's store {database} belongs to the repository in {old}, not to this one in "
                f"{root}: `make install` here gives it a store of its own, or set "
                "ZENML_CONFIG_PATH to another folder; then `coti stack up`."
            )
        moved[old] = str(root)
    return moved


def _recorded_roots(database: Path) -> set[str]:
    """Roots of repositories whose local stacks are registered in ZenML's database."""
    if not database.is_file():
        return set()
    try:
        # To look at it only: the last that closes a database it may write to tidies up in it.
        with closing(_opened(database, "ro")) as found:
            rows = found.execute("SELECT configuration FROM stack_component").fetchall()
    except sqlite3.Error:  # not whole, or not made yet: another check's to say
        return set()
    try:
        texts = [text for row in rows for text in _texts(json.loads(base64.b64decode(row[0])))]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        why = f"a component's configuration: {error}"
        raise StoreError(damaged(database, "ZenML", why)) from error
    return {match[1] for match in map(_LOCAL.fullmatch, texts) if match}


def _texts(values: Any) -> list[str]:
    """The texts in a component's configuration."""
    return [each for each in values.values() if isinstance(each, str)]


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=30)


def _move(moved: Mapping[str, str], root: Path) -> None:
    """Rewrite the databases, then ZenML's configuration: killed in between, it begins again."""
    store = Path(os.environ["ZENML_CONFIG_PATH"]).absolute()
    databases = [*(root / ".coti").glob("mlflow*.db"), *store.glob("local_stores/*/*.db")]
    try:
        count = sum(_rewrite(path, moved) for path in databases)
    except sqlite3.Error as error:
        raise StoreError(
            f"This repository came from {', '.join(moved)}, and its state cannot be made its own "
            f"({error}): free space and mend its rights, or remove {root / '.coti'} and begin anew."
        ) from error
    config = store / "config.yaml"
    if config.is_file():
        try:
            known = yaml.safe_load(config.read_text(encoding="utf-8"))
            known["store"] = {
                key: _now(value, moved) if isinstance(value, str) else value
                for key, value in known.get("store", {}).items()
            }
        except (ValueError, yaml.YAMLError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{config}, ZenML's configuration, is damaged: restore a copy, or move it away and "
                "repeat `coti stack up`."
            ) from error
        write_whole(config, yaml.safe_dump(known).encode())
    print(
        f"Note: state from {', '.join(moved)} is now this folder's ({count} places).",
        file=sys.stderr,
    )


def _now(value: str, moved: Mapping[str, str]) -> str:
    """A path or an address of one, as it is after the move; any other text as it is."""
    for old, new in sorted(moved.items(), key=lambda pair: -len(pair[0])):
        for before, spelled in (("", str), (SQLITE, str), ("file://", quote)):
            if value.startswith(f"{before}{spelled(new)}/"):
                return value
            if value.startswith(begin := f"{before}{spelled(old)}/"):
                return f"{before}{spelled(new)}/{value.removeprefix(begin)}"
    return value


def _rewrite(path: Path, moved: Mapping[str, str]) -> int:
    """Change what begins with an old folder, in every column of text; how many values that were."""

    def component(configuration: bytes) -> bytes:
        values = json.loads(base64.b64decode(configuration))
        texts = {key: _now(each, moved) for key, each in values.items() if isinstance(each, str)}
        return base64.b64encode(json.dumps({**values, **texts}).encode())

    with closing(_opened(path, "rw")) as found, found:
        found.create_function("now", 1, lambda value: _now(value, moved), deterministic=True)
        found.create_function("component", 1, component, deterministic=True)
        tables = found.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _, column, kind, *_ in found.execute(f'PRAGMA table_info("{table}")').fetchall():
                if kind.upper().startswith(("TEXT", "VARCHAR")):
                    found.execute(
                        f'UPDATE "{table}" SET "{column}" = now("{column}") '
                        f'WHERE typeof("{column}") = \'text\' AND now("{column}") != "{column}"'
                    )
        if ("stack_component",) in tables:
            found.execute("UPDATE stack_component SET configuration = component(configuration)")
        return found.total_changes
