"""State that was made in another folder becomes this one's; another's is never touched."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from coti.core.errors import StoreError
from ops.quiet import ENVIRONMENT
from ops.stack.databases import STORE, database_problem, made_whole, zenml_database
from ops.stack.moved_state import settle, state_lock
from tests.adversary.bit_flips import flipped
from tests.coti.core.test_whole_files import tree

HERE = Path(__file__).resolve().parents[2]
PLACES = ("{}/.coti/artifacts/a b/c", "file://{q}/.coti/mlflow-artifacts/x", "sqlite:///{}/x.db")


def _repository(root: Path) -> Path:
    """State as ZenML and MLflow leave it in a repository; what it is about is in few columns."""
    store = root / ".coti" / "zenml"
    (store / STORE).parent.mkdir(parents=True)
    (root / "coti_concept.py").touch()
    url = f"sqlite:///{store / STORE}"
    text = yaml.safe_dump({"active_stack_id": "x", "store": {"type": "sql", "url": url}})
    (store / "config.yaml").write_text(text)
    path = f"{root}/.coti/artifacts"
    tracker = f"sqlite:///{root}/.coti/mlflow.db"
    with closing(sqlite3.connect(store / STORE)) as found, found:
        found.execute("CREATE TABLE stack_component (id TEXT, configuration BLOB NOT NULL)")
        for values in ({"path": path}, {"tracking_uri": tracker, "deep": {"x": 1}}, {}):
            text = base64.b64encode(json.dumps(values).encode())
            found.execute("INSERT INTO stack_component VALUES ('i', ?)", (text,))
        _fill(found, root)
    with closing(sqlite3.connect(root / ".coti" / "mlflow.db")) as found, found:
        _fill(found, root)
    return root


def _fill(found: sqlite3.Connection, root: Path) -> None:
    found.execute("CREATE TABLE artifact (uri VARCHAR(200), said TEXT, number INTEGER)")
    for place in PLACES:
        uri = place.format(root, q=str(root).replace(" ", "%20"))
        found.execute("INSERT INTO artifact VALUES (?, ?, 7)", (uri, f"about {uri}"))
    found.execute("INSERT INTO artifact VALUES (?, ?, 7)", (f"{root}-other/x", None))


def _dump(path: Path) -> str:
    with closing(sqlite3.connect(path)) as found:
        rows = [str(row) for row in found.execute("SELECT * FROM artifact")]
        if "zenml" in path.name:
            parts = found.execute("SELECT configuration FROM stack_component")
            rows += [str(json.loads(base64.b64decode(row[0]))) for row in parts]
    return "\n".join(rows)


def _use(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZENML_CONFIG_PATH", str(root / ".coti" / "zenml"))
    monkeypatch.delenv("ZENML_STORE_URL", raising=False)
    monkeypatch.delenv("ZENML_LOCAL_STORES_PATH", raising=False)


@pytest.mark.parametrize("name", ["copy", "first one/inside"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_copy_keeps_its_own_state(
    name: str, moved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copied beside or into the first, or moved: every place is the copy's; the first is as it was,
    and a second time changes nothing."""
    first = _repository(tmp_path / "first one")
    copy = tmp_path / name
    shutil.copytree(first, tmp_path / "kept")
    copy.parent.mkdir(exist_ok=True)
    shutil.copytree(first, copy, ignore=shutil.ignore_patterns("inside"))
    if moved and "inside" not in name:
        shutil.rmtree(first)
    before = tree(tmp_path / "kept")
    _use(copy, monkeypatch)
    with state_lock(copy):  # as `coti stack up` has it meanwhile
        assert settle(copy)
    assert zenml_database() == copy / ".coti" / "zenml" / STORE
    for path in (copy / ".coti" / "zenml" / STORE, copy / ".coti" / "mlflow.db"):
        said = _dump(path)
        at = str(copy)
        for place in PLACES:
            assert place.format(at, q=at.replace(" ", "%20")) in said
        assert f"('{first}-other/x'" in said  # only begins alike
        assert f"'about {first}/" in said  # prose is left alone
    assert str(copy) in _dump(copy / ".coti" / "zenml" / STORE).rpartition("'path'")[2]
    if first.exists():
        found = tree(first)
        assert {name: found[name] for name in before} == before
    after = tree(copy)
    assert not settle(copy)
    assert tree(copy) == after


def test_another_repositorys_store_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copied environment names the first one's store: a sentence; nothing is written to it."""
    first, copy = _repository(tmp_path / "first"), tmp_path / "copy"
    shutil.copytree(first, copy)
    _use(first, monkeypatch)
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=r"belongs to the repository in .*first, not to this one"):
        settle(copy)
    settle(first)
    assert tree(tmp_path) == before


def test_the_environments_file_moves_with_it(tmp_path: Path) -> None:
    """What `.venv` tells its Python is told from where `.venv` is, not from where it was made."""
    first = tmp_path / "first"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", first / ".venv"], check=True, timeout=60
    )
    code = "from pathlib import Path; from ops.stack.local_state import write; "
    words = [first / ".venv/bin/python", "-c", f"{code}write(Path({str(first)!r}))"]
    here = {"PYTHONPATH": str(HERE)}
    subprocess.run(words, check=True, env=here, timeout=60)
    first.rename(tmp_path / "second")
    asked = "import os, sys; print(os.environ['ZENML_CONFIG_PATH'], sys.path[-1])"
    done = subprocess.run(
        [tmp_path / "second/.venv/bin/python", "-c", asked],
        check=True,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
    )
    second = tmp_path / "second"
    assert done.stdout.split() == [str(second / ".coti" / "zenml"), str(second)]
    assert "ZENML_CONFIG_PATH" not in ENVIRONMENT  # or the image would have this machine's


@pytest.mark.parametrize("command", ["zenml", "coti"])
def test_a_command_is_checked_before_zenml_opens_its_store(command: str, tmp_path: Path) -> None:
    """By the environment's own file: in another checkout, and on a damaged store."""
    root = tmp_path / "first"
    for name in ("coti", "ops"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(HERE / name)
    venv = root / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=60)
    libraries = {"PYTHONPATH": sysconfig.get_paths()["purelib"]}
    code = f"from ops.stack.local_state import write; write(Path({str(root)!r}))"
    words = [venv / "bin" / "python", "-c", f"from pathlib import Path; {code}"]
    both = f"{HERE}:{libraries['PYTHONPATH']}"
    subprocess.run(words, check=True, env={"PYTHONPATH": both}, timeout=60)
    (venv / "bin" / command).write_text("import sys; print('ran', 'ops' in sys.modules)")

    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        words = [venv / "bin" / "python", venv / "bin" / command]
        return subprocess.run(
            words, cwd=folder, env=libraries, capture_output=True, text=True, check=False
        )

    assert run(root).stdout == "ran False\n"
    other = tmp_path / "other"
    (other / "below").mkdir(parents=True)
    (other / "coti_concept.py").touch()
    done = run(other / "below")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"not that of {other}: `make install` in {other}" in done.stderr
    store = root / ".coti" / "zenml" / STORE
    store.parent.mkdir(parents=True)
    store.write_bytes(b"x" * 5000)
    done = run(root)
    if command == "coti":  # which says more of it, or needs none
        assert done.stdout == "ran False\n"
        return
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{store}, ZenML's database, is damaged" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"SQLite format 3\0" + b"\x99" * 8192, "is damaged"),
        (b"no database at all" * 100, "is damaged"),
        (b"", None),
    ],
)
def test_a_damaged_database_is_named(content: bytes, said: str | None, tmp_path: Path) -> None:
    """Before a library opens it; an empty one is made again."""
    path = tmp_path / "mlflow.db"
    path.write_bytes(content)
    found = database_problem(path, "MLflow")
    assert found is None if said is None else (said in str(found) and str(path) in str(found))


@pytest.mark.parametrize("library", ["ZenML", "MLflow"])
def test_a_newer_librarys_database_is_said(library: str, tmp_path: Path) -> None:
    """By the form of its database, which this version does not know."""
    path = tmp_path / "x.db"
    known = version("zenml") if library == "ZenML" else "dc11669786a5"
    for form, fine in ((known, True), ("99.0.0", False)):
        with closing(sqlite3.connect(path)) as found, found:
            found.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
            found.execute("DELETE FROM alembic_version")
            found.execute("INSERT INTO alembic_version VALUES (?)", (form,))
        said = database_problem(path, library)
        assert said is None if fine else f"newer {library}" in str(said)


def test_a_database_is_made_whole_or_not_at_all(
    tmp_path: Path,
) -> None:
    """A full disk or a kill in the making leaves nothing that would be taken for whole; one that
    was whole before stays whatever happens."""
    path, note = tmp_path / "x.db", tmp_path / ".coti" / ".making"
    with pytest.raises(ZeroDivisionError), made_whole(path, tmp_path):
        path.write_bytes(b"half" * (1 // 0))
    assert not path.exists()
    assert not note.exists()
    code = (
        "import os; from pathlib import Path; from ops.stack.databases import made_whole\n"
        f"with made_whole(Path({str(path)!r}), Path({str(tmp_path)!r})):\n"
        f"    Path({str(path)!r}).write_text('half'); os._exit(9)"
    )
    here = {"PYTHONPATH": str(HERE)}
    subprocess.run([sys.executable, "-c", code], check=False, env=here, timeout=60)
    assert path.read_text() == "half"
    with made_whole(path, tmp_path):
        assert not path.exists()
        path.write_text("whole")
    with pytest.raises(ZeroDivisionError), made_whole(path, tmp_path):
        path.write_bytes(b"half" * (1 // 0))
    assert path.read_text() == "whole"
    assert not note.exists()


def test_a_damaged_component_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever bit of a configuration in ZenML's database is another one, here and in a copy."""
    first = _repository(tmp_path / "first")
    store = first / ".coti" / "zenml" / STORE
    with closing(sqlite3.connect(store)) as found:
        (cell,) = found.execute("SELECT configuration FROM stack_component").fetchone()
    copy = tmp_path / "copy"
    said = set()
    for root in (first, copy):
        _use(root, monkeypatch)
        for seed in range(60):
            changed = flipped(cell, seed)
            with closing(sqlite3.connect(store)) as found, found:
                found.execute("UPDATE stack_component SET configuration = ?", (changed,))
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(first, copy)
            try:
                settle(root)
            except StoreError as error:
                said.add(str(error))
    assert any("is damaged (a component's configuration: " in each for each in said)


def test_damaged_settings_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ZenML's own file, where state has moved."""
    first = _repository(tmp_path / "first")
    copy = first.rename(tmp_path / "copy")
    _use(copy, monkeypatch)
    (copy / ".coti" / "zenml" / "config.yaml").write_text("store: [")
    with pytest.raises(StoreError, match=r"config.yaml, ZenML's configuration, is damaged"):
        settle(copy)
