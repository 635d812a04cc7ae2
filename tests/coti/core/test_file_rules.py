from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.errors import PoolError
from coti.core.file_rules import (
    FileRefused,
    kind_of_file,
    list_files,
    open_inside,
    paths_of_keys,
    read_inside,
)


def reason(folder: Path, name: str) -> str:
    """Why a file is refused; empty where it is read."""
    try:
        read_inside(folder, name)
    except FileRefused as refused:
        return refused.reason
    return ""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a/b.jpeg", "image"),
        ("no suffix", "image"),
        ("B.TXT", "side"),
        ("metadata.csv", "side"),
        ("Thumbs.db", "system"),
        ("sub/._a.jpg", "system"),
        ("__MACOSX/a.jpg", "system"),
        (".cache/huggingface/a.jpg", "system"),
        ("@eaDir/a.jpg", "system"),
        ("desktop.ini", "system"),
        ("weights.safetensors", "other"),
    ],
)
def test_a_name_says_what_a_file_is(name: str, kind: str) -> None:
    """The same for pool, seeds, references and edits."""
    assert kind_of_file(name) == kind


@given(st.text())
def test_every_name_is_of_a_kind(name: str) -> None:
    """No name is an error."""
    assert kind_of_file(name) in ("image", "side", "system", "other")


def test_listing_leaves_nothing_out(tmp_path: Path) -> None:
    """Files, links, pipes and folders that cannot be listed are there; links are not entered."""
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/a.png").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    os.mkfifo(tmp_path / "pipe")
    found = list_files(tmp_path)
    assert {name: file.kind for name, file in found.items()} == {
        "deep/er/a.png": "file",
        "link": "link",
        "pipe": "other",
    }
    assert found["deep/er/a.png"].size == 3
    with pytest.raises(PoolError, match="cannot be read"):
        list_files(tmp_path / "none")


def test_a_folder_that_cannot_be_listed_is_listed_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it hides is not forgotten; root may list anything, so the system call is refused."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").write_bytes(b"x")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed/"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = list_files(tmp_path)
    assert list(found) == ["a.png", "closed"]
    assert (found["closed"].kind, found["closed"].problem) == ("folder", "Permission denied")


def test_nothing_but_regular_files_inside_is_read(tmp_path: Path) -> None:
    """Links out, pipes, sockets, folders and names that leave are refused, and nothing hangs."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "sub/a").write_bytes(b"abc")
    (root / "in").symlink_to("sub/a")
    (root / "out").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    (root / "inner").symlink_to("sub")
    (root / "loop").symlink_to("loop")
    (root / "nowhere").symlink_to("none")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
        assert reason(root, "socket") == "not_regular"
    assert read_inside(root, "in") == read_inside(root, "inner/a") == b"abc"
    assert {name: reason(root, name) for name in os.listdir(root)} == {
        "sub": "not_regular",
        "in": "",
        "out": "outside_path",
        "folder": "outside_path",
        "inner": "not_regular",
        "loop": "unreadable",
        "nowhere": "not_regular",
        "pipe": "not_regular",
        "socket": "not_regular",
    }
    for name in ("folder/secret", "../outside/secret", "sub/../../outside/secret", "/etc/passwd"):
        assert reason(root, name) == "outside_path"
    assert reason(root, "gone") == "vanished"
    assert reason(root, "a\0b") == "unreadable"
    with pytest.raises(FileRefused, match="3 bytes"):
        read_inside(root, "sub/a", 2)


def test_a_swap_after_the_check_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that is judged harmless and then turned outwards is not followed."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    for folder in (root / "sub", outside):
        (folder / "a").write_bytes(folder.name.encode())
    (root / "link").symlink_to("sub/a")
    resolve = Path.resolve

    def swapped(path: Path, strict: bool = False) -> Path:
        found = resolve(path, strict)
        if strict:
            (root / "sub").rename(root / "moved")
            (root / "sub").symlink_to(outside)
        return found

    monkeypatch.setattr(Path, "resolve", swapped)
    with pytest.raises(FileRefused):
        open_inside(root, "link")


def test_links_of_a_hub_snapshot_are_read(tmp_path: Path) -> None:
    """They lead to the blobs beside the snapshots, and nowhere else."""
    snapshot = tmp_path / "datasets--a--b/snapshots/0123/data"
    (tmp_path / "datasets--a--b/blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (tmp_path / "datasets--a--b/blobs/ff").write_bytes(b"image")
    (tmp_path / "secret").write_bytes(b"secret")
    (snapshot / "a.png").symlink_to("../../../blobs/ff")
    (snapshot / "b.png").symlink_to("../../../../secret")
    for folder, name in ((snapshot, ""), (snapshot.parent, "data/")):
        assert read_inside(folder, f"{name}a.png") == b"image"
        assert reason(folder, f"{name}b.png") == "outside_path"


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 300))
def test_a_file_is_read_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, largest: int
) -> None:
    """Whatever its size and the limit."""
    folder = tmp_path_factory.getbasetemp()
    (folder / "bounded").write_bytes(data)
    if len(data) <= largest:
        assert read_inside(folder, "bounded", largest) == data
    else:
        with pytest.raises(FileRefused, match="bytes"):
            read_inside(folder, "bounded", largest)


@given(
    keys=st.sets(
        st.lists(st.sampled_from(["a", "b", "", ".", "..", "ä" * 128]), min_size=1, max_size=4).map(
            "/".join
        ),
        max_size=5,
    )
)
@settings(max_examples=200)
def test_every_key_of_a_store_has_a_file_of_its_own(
    keys: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Or they are refused: no key is written over another, into another, or outside."""
    try:
        paths = paths_of_keys(sorted(keys))
    except ValueError:
        return
    folder = tmp_path_factory.mktemp("store") / "copy"
    for key, path in paths.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(key)
    assert {(folder / path).read_text() for path in paths.values()} == keys
    assert all((folder / path).resolve().is_relative_to(folder) for path in paths.values())
