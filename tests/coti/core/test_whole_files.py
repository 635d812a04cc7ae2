"""Whole or absent, and nothing is removed that we did not make."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coti.core.errors import ConfigError, StoreError
from coti.core.whole_files import (
    MARKER,
    _remove_abandoned,
    is_ours,
    plain_name,
    private_folder,
    require_writable,
    temporary_folder,
    whole_file,
    whole_folder,
    write_whole,
)

NAMES = st.one_of(
    st.text(),
    st.text(st.sampled_from("./\\~- \0\nab\u202e\ud800ä")),
    st.sampled_from([".", "..", "latest", "LATEST", "a/../..", "/etc", "~", "a" * 201, "COM1"]),
)
"""Anything that may stand in a run file; many that lead elsewhere."""


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and link below a folder: its kind and its content."""
    found = {}
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        target = os.readlink(path).encode() if path.is_symlink() else content
        found[str(path.relative_to(folder))] = (os.lstat(path).st_mode, target)
    return found


@given(NAMES)
def test_a_name_is_refused_or_one_file_in_its_folder(name: str) -> None:
    """Whatever the string: a sentence, or a folder of that name there and nothing else changed."""
    with tempfile.TemporaryDirectory() as root:
        output = Path(root, "outside", "output")
        (output / "penguin").mkdir(parents=True)
        (output / "penguin" / "photo.png").write_bytes(b"mine")
        (output.parent / "kept").write_bytes(b"mine")
        before = tree(Path(root))
        try:
            with whole_folder(output / plain_name(name, "run_name"), replace=True) as part:
                (part / "x").write_bytes(b"ours")
        except (ConfigError, StoreError):
            assert tree(Path(root)) == before
            return
        after = tree(Path(root))
        assert before.items() <= after.items()
        assert {Path(each).parts[:3] for each in after.keys() - before.keys()} == {
            ("outside", "output", name)
        }


def _user_folder(place: Path) -> None:
    place.mkdir()
    (place / "photo.png").write_bytes(b"mine")


def _link_to_ours(place: Path) -> None:
    with whole_folder(place.with_name("other"), replace=True) as part:
        (part / "photo.png").write_bytes(b"mine")
    place.symlink_to("other")


def _marker_is_a_link(place: Path) -> None:
    _user_folder(place)
    (place / MARKER).symlink_to("photo.png")


@pytest.mark.parametrize(
    "foreign", [_user_folder, _link_to_ours, _marker_is_a_link, lambda p: p.write_bytes(b"mine")]
)
@pytest.mark.parametrize("replace", [True, False])
def test_what_we_did_not_make_stays(
    foreign: Callable[[Path], object], replace: bool, tmp_path: Path
) -> None:
    """A user's folder, file or link at the place: one sentence, nothing touched or left over."""
    place = tmp_path / "run"
    foreign(place)
    before = tree(tmp_path)
    with pytest.raises(StoreError, match="move it away"), whole_folder(place, replace=replace):
        pass
    assert tree(tmp_path) == before


def test_ours_is_replaced_and_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    """The new folder holds what is new alone."""
    place = tmp_path / "run"
    for text in ("old", "new"):
        with whole_folder(place, replace=True) as part:
            (part / text).write_text(text)
    assert {path.name for path in place.iterdir()} == {"new", MARKER}
    before = tree(tmp_path)
    with pytest.raises(FileNotFoundError), whole_folder(place, replace=True) as part:
        (part / "more" / "half").write_text("x")
    assert tree(tmp_path) == before


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """Neither one at the file's place nor one where the half-written file once was."""
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    for name in ("x", ".x.part", "x.part", f".x.{os.getpid()}.part"):
        (tmp_path / "folder" / name).symlink_to(mine)
    write_whole(tmp_path / "folder" / "x", b"ours")
    with whole_folder(tmp_path / "made") as part:
        (part / "y").write_bytes(b"ours")
    assert mine.read_bytes() == b"mine"
    assert not (tmp_path / "folder" / "x").is_symlink()
    assert not (tmp_path / "made" / MARKER).exists()  # the user's from now on


KILLED = """
import os, sys, time
from pathlib import Path
from coti.core.whole_files import temporary_folder, whole_file, whole_folder
place = Path(sys.argv[1])
with whole_file(place / "f") as f, whole_folder(place / "d") as d, temporary_folder() as t:
    for each in (f, d / "x", t / "x"):
        each.write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_goes_and_a_living_ones_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half files and folders, beside their places and among temporary ones; no neighbour's."""
    place, temporary = tmp_path / "place", tmp_path / "temporary"
    for folder in (place, temporary):
        folder.mkdir()
        (folder / f".coti-{16 * 'x'}.part").write_bytes(b"mine")
        (folder / f".coti-{16 * '0'}.part").mkdir()
        (folder / f".coti-{16 * '0'}.part" / "photo").write_bytes(b"mine")
    before = tree(tmp_path)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    words = [sys.executable, "-c", KILLED, str(place)]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        during = tree(tmp_path)
        for folder in (place, temporary):
            _remove_abandoned(folder)
        assert tree(tmp_path) == during
        started.send_signal(signal.SIGKILL)
        started.wait()
    assert tree(tmp_path) == during != before
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with temporary_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        assert is_ours(folder)
    write_whole(place / "g", b"whole")
    (place / "g").unlink()
    assert tree(tmp_path) == before


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    """By the name that the user knows."""
    with pytest.raises(OSError, match="No space") as caught, whole_file(tmp_path / "x"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_private_folder_is_closed(tmp_path: Path) -> None:
    """New or from before, when anybody could read it; what a link names is left as it is."""
    (tmp_path / "old").mkdir(mode=0o755)
    (tmp_path / "theirs").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("theirs")
    for name in ("new", "old", "link"):
        private_folder(tmp_path / name)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes["new"] == modes["old"] == 0o700
    assert modes["theirs"] == 0o755


OTHERS = ("ops/stack/checkpoints.py", "ops/stack/servers.py")
"""Objects of a store, and a file of a container that ends with it."""


def test_nobody_else_makes_or_removes_temporary_files() -> None:
    """There is one way, with marker, lock and unguessable name."""
    root = Path(__file__).parents[3]
    words = re.compile(r"rmtree|mkdtemp|mkstemp|mktemp|TemporaryDirectory|TemporaryFile|\.part\b")
    folders = ("coti", "ops", "steps", "pipelines", "materializers", "cli")
    found = {
        path.relative_to(root).as_posix(): words.findall(path.read_text(encoding="utf-8"))
        for folder in folders
        for path in (root / folder).rglob("*.py")
    }
    del found["coti/core/whole_files.py"]
    left = {name: words for name, words in found.items() if words and name not in OTHERS}
    # a tar archive's member has a part, too, which is a number; so has an object of a store
    parts = ("layout.py", "originals.py", "sources/object_store.py")
    assert set(left) <= {f"coti/pool/{name}" for name in parts}


def test_an_output_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    """Parquet's and other libraries take none: said before anything is computed."""
    with pytest.raises(StoreError, match="no UTF-8 text"):
        require_writable(tmp_path / os.fsdecode(b"bad\xff"))
    require_writable(tmp_path / "gütig")
    assert not list(tmp_path.iterdir())
