"""Files beside images, in folders and archives alike: whose they are, and that none is lost."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coti.core.file_rules import suffix_of
from coti.pool.entry import Entry
from coti.pool.open_source import open_source
from coti.settings import PoolSettings
from tests.coti.pool.conftest import encoded, image
from tests.coti.pool.test_shards import write_tar

IMAGE = encoded(image(1))
STEMS = ["22", "22.05", "22.06", "x", "x.left", "x.right", "y.1"]
NAMES = [
    f"{stem}{suffix}"
    for stem in STEMS
    for suffix in (".png", ".jpg", ".txt", ".json", ".png.json", ".png.txt", ".meta.json", ".TXT")
]


def content(name: str) -> bytes:
    """An image; or a text that says whose it is; or a JSON that refuses and says whose it is."""
    if suffix_of(name) in (".png", ".jpg"):
        return IMAGE
    if suffix_of(name) == ".txt":
        return name.encode()
    return json.dumps({"caption": name, "noai": True}).encode()


def written(root: Path, names: list[str], kind: str) -> Path:
    """A pool of the files: a folder, or an archive with them in their order."""
    if kind == "tar":
        return write_tar(root / "0.tar", {name: content(name) for name in names})
    root.mkdir(parents=True)
    for name in names:
        (root / name).write_bytes(content(name))
    return root


def entries(path: Path) -> dict[str, Entry]:
    """By the name of the file."""
    found = list(open_source(str(path), PoolSettings()).entries())
    named = {entry.name.removeprefix("0.tar/"): entry for entry in found}
    assert len(named) == len(found)
    return named


def base(name: str) -> str:
    """A name without its suffix."""
    return name[: -len(suffix_of(name))]


def key(name: str) -> str:
    """WebDataset's, by its own regular expression's meaning."""
    return name.split(".", 1)[0]


def wordy(name: str) -> bool:
    """No number behind the first dot, so that it is a part of a sample and not of a name."""
    return not any(part.isdigit() for part in name.split(".")[1:])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=12, unique=True),
    st.sampled_from(["folder", "tar"]),
)
def test_every_file_is_accounted_for_and_nothing_moves_to_a_neighbour(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], kind: str
) -> None:
    """Each image is a row; each sidecar describes an image or is a row. A refusal of an image's
    own, by either convention, is kept; a caption is of a file that is named like the image.
    """
    found = entries(written(tmp_path_factory.mktemp("pool") / "p", names, kind))
    images = {name for name in names if suffix_of(name) in (".png", ".jpg")}
    assert images <= set(found) <= set(names)
    assert {name for name, entry in found.items() if not entry.reason} == images
    for name in images:
        own = [n for n in names if n not in images and base(n) in (name, base(name))]
        sample = [n for n in names if n not in images and base(n) == key(name)]
        refusing = [n for n in own + sample if suffix_of(n) == ".json"]
        assert not refusing or "True" in found[name].extra.get("opt_out", "")
        if caption := found[name].caption:
            assert caption in own or (
                not own and key(caption) == key(name) and wordy(caption) and wordy(name)
            )
        if any(suffix_of(n) == ".txt" for n in own):
            assert suffix_of(found[name].caption) == ".txt"
    for name in set(names) - images - set(found):
        assert any(
            base(name) in (other, base(other)) or key(name) == key(other) for other in images
        )


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_numbers_behind_a_dot_are_no_sample(tmp_path: Path, kind: str) -> None:
    """22.05 and 22.06 are two images, though WebDataset has one key for both."""
    names = ["22.05.png", "22.05.json", "22.06.png", "22.06.txt"]
    found = entries(written(tmp_path / "p", names, kind))
    assert {n: (e.caption, e.extra.get("opt_out", "")) for n, e in found.items()} == {
        "22.05.png": ("22.05.json", "noai: True"),
        "22.06.png": ("22.06.txt", ""),
    }


def test_archives_one_behind_the_other_are_read_as_each_alone(tmp_path: Path) -> None:
    """`cat a.tar b.tar` with the same names in both: all images, each with its own caption; what a
    later member refuses without an image beside it counts for the earlier one.
    """
    parts = [
        write_tar(tmp_path / f"{n}.part", {"a.png": IMAGE, "a.txt": f"of {n}".encode()})
        for n in range(3)
    ]
    parts.append(write_tar(tmp_path / "3.part", {"a.json": b'{"opt_out": true}'}))
    root = tmp_path / "pool"
    root.mkdir()
    (root / "0.tar").write_bytes(b"".join(part.read_bytes() for part in parts))
    found = entries(root)
    assert {name: entry.caption for name, entry in found.items()} == {
        "a.png": "of 0",
        "a.png#2": "of 1",
        "a.png#3": "of 2",
    }
    assert all(entry.extra == {"opt_out": "opt_out: True"} for entry in found.values())


def test_archives_one_behind_the_other_may_be_many(tmp_path: Path) -> None:
    """Each has its own ``0.json``: that they are many makes none of them speak for another's."""
    parts = [
        write_tar(tmp_path / f"{n}.part", {"0.png": IMAGE, "0.json": b'{"caption": "%d"}' % n})
        for n in range(25)
    ]
    root = tmp_path / "pool"
    root.mkdir()
    (root / "0.tar").write_bytes(b"".join(part.read_bytes() for part in parts))
    found = list(open_source(str(root), PoolSettings()).entries())
    assert [(entry.caption, entry.reason) for entry in found] == [(str(n), "") for n in range(25)]


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_maps_are_no_images(tmp_path: Path, kind: str) -> None:
    """`x.seg.png` is a mask of `x.jpg`: a row of its own that says so."""
    found = entries(written(tmp_path / "p", ["x.jpg", "x.seg.png", "x.txt"], kind))
    assert {n: (e.caption, e.reason) for n, e in found.items()} == {
        "x.jpg": ("x.txt", ""),
        "x.seg.png": ("", "other_file"),
    }
    assert "rename" in found["x.seg.png"].detail


@pytest.mark.parametrize(("file", "sidecar"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_unicode_forms_are_one_name_unless_both_are_there(
    tmp_path: Path, file: str, sidecar: str
) -> None:
    """A sidecar in the other form is found; where each form has its own, each keeps it."""
    name = "Schnürstiefel"
    (tmp_path / f"{unicodedata.normalize(file, name)}.jpg").write_bytes(IMAGE)
    (tmp_path / f"{unicodedata.normalize(sidecar, name)}.jpg.TXT").write_bytes(b"one")
    assert [entry.caption for entry in entries(tmp_path).values()] == ["one"]
    (tmp_path / f"{unicodedata.normalize(file, name)}.jpg.txt").write_bytes(b"two")
    (tmp_path / f"{unicodedata.normalize(sidecar, name)}.jpg").write_bytes(IMAGE)
    found = {unicodedata.normalize("NFC", n): e.caption for n, e in entries(tmp_path).items()}
    assert len(entries(tmp_path)) == 2
    assert sorted(e.caption for e in entries(tmp_path).values()) == ["one", "two"]
    assert set(found) == {"Schnürstiefel.jpg"}


@pytest.mark.parametrize(
    ("text", "caption", "extra"),
    [
        ('{"caption": ["first", "second"]}', "first", {}),
        ('["first", "second"]', "first", {}),
        ('"first"', "first", {}),
        ('[{"text": "first"}, {"text": "second", "noai": 1}]', "first", {"opt_out": "noai: 1"}),
        (
            '{"text": "first", "opt_out": "", "robots": ["noindex"]}',
            "first",
            {"opt_out": "robots: noindex"},
        ),
        (
            '{"text": "a\\ud800b", "noai": {"train": true}}',
            "a\ufffdb",
            {"opt_out": "noai: True"},
        ),
        ('{"punsafe": 0.1, "nsfw_score": 0.9}', "", {"punsafe": 0.9}),
    ],
)
def test_json_sidecars_of_many_makers(
    tmp_path: Path, text: str, caption: str, extra: dict[str, object]
) -> None:
    """Lists of captions, several columns that refuse, half characters."""
    (tmp_path / "a.png").write_bytes(IMAGE)
    (tmp_path / "a.json").write_text(text)
    (entry,) = entries(tmp_path).values()
    assert (entry.caption, entry.extra) == (caption, extra)


def test_a_sidecar_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    """The image's row names it: nobody knows what it refused."""
    (tmp_path / "a.png").write_bytes(IMAGE)
    (tmp_path / "a.json").write_text('{"opt_out": tr')
    (tmp_path / "a.txt").write_bytes("Красные ботинки".encode("cp1251"))
    (tmp_path / "a.caption").symlink_to("/etc/passwd")
    (entry,) = entries(tmp_path).values()
    assert entry.caption == "Красные ботинки"
    for part in ("a.json is not JSON", "a.txt not UTF-8: read as Windows-1251", "a.caption cannot"):
        assert part in entry.detail


def test_what_a_table_and_a_sidecar_refuse_adds_up(tmp_path: Path) -> None:
    """Neither a row nor a second row nor the file beside the image hides what another refuses."""
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(IMAGE)
    (tmp_path / "a.json").write_text('{"opt_out": true}')
    rows = [("a.png", 0.1), ("b.png", 0.1), ("b.png", 0.9), ("c.png", 0.2)]
    lines = [json.dumps({"file_name": name, "punsafe": value}) for name, value in rows]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    found = entries(tmp_path)
    assert {name: entry.extra for name, entry in found.items()} == {
        "a.png": {"punsafe": 0.1, "opt_out": "opt_out: True"},
        "b.png": {"punsafe": 0.9},
        "c.png": {"punsafe": 0.2},
        "metadata.jsonl#2": {"punsafe": 0.9},
    }
