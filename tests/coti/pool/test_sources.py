"""A kind of pool that the package knows nothing of: one class, one line."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cli.pool import pool
from click.testing import CliRunner

from coti.core.errors import ConfigError
from coti.pool import fingerprint_source, ingest, register_source
from coti.pool.entry import Entry
from coti.pool.open_source import detect_kind
from coti.settings import PoolSettings
from coti.settings.pool_sources import POOL_SOURCES
from tests.coti.pool.conftest import encoded, image


class ZipSource:
    """The images in a zip archive, in order of name."""

    kind = "zip"

    def __init__(
        self, source: str, settings: PoolSettings, cache_dir: str | Path | None = None
    ) -> None:
        self._archive = zipfile.ZipFile(source)
        self.notes = ["from a zip archive"]

    @classmethod
    def claims(cls, source: str) -> bool:
        """By its suffix."""
        return source.endswith(".zip")

    def entries(self) -> Iterator[Entry]:
        """Every member."""
        for name in sorted(self._archive.namelist()):
            yield Entry(name, Path(name).stem, partial(self._archive.read, name))

    def fingerprint(self) -> str:
        """The members' checksums."""
        return " ".join(f"{m.filename}:{m.CRC:x}" for m in self._archive.infolist())


OWN = f"{__name__}:ZipSource"


@pytest.fixture
def archive(tmp_path: Path) -> str:
    """Two images and a text."""
    path = tmp_path / "pool.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("boot.png", encoded(image(1)))
        file.writestr("shoe.png", encoded(image(2)))
        file.writestr("text.png", b"no image")
    return str(path)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind ``zip``, forgotten afterwards."""
    for kind in POOL_SOURCES:
        monkeypatch.setitem(POOL_SOURCES, kind, POOL_SOURCES[kind])
    monkeypatch.setitem(POOL_SOURCES, "zip", "")
    register_source("zip", OWN)


def captions(archive: str, settings: PoolSettings) -> dict[str, str]:
    """What is ingested, by caption, with the reason against it."""
    ingested = ingest(archive, settings, 16)
    assert ingested.kind == "zip"
    assert ingested.notes == ["from a zip archive"]
    return dict(zip(ingested.manifest["caption"], ingested.manifest["reason"], strict=True))


@pytest.mark.usefixtures("registered")
def test_a_registered_source_is_found_ingested_and_listed(archive: str) -> None:
    """It claims its pool, is a valid kind, is fingerprinted, and stands in the command's help."""
    found = {"boot": "", "shoe": "", "text": "not_an_image"}
    assert detect_kind(archive) == "zip"
    assert captions(archive, PoolSettings()) == found
    assert captions(archive, PoolSettings(kind="zip")) == found
    assert fingerprint_source(archive).startswith("boot.png:")
    shown = CliRunner().invoke(pool, ["check", "--help"]).output
    assert all(kind in shown for kind in POOL_SOURCES)


def test_a_source_may_be_named_by_its_class(archive: str) -> None:
    """``module:Class`` needs no registration, so that it works in a pod too."""
    assert captions(archive, PoolSettings(kind=OWN))["text"] == "not_an_image"


def test_kinds_that_are_none_are_refused(archive: str) -> None:
    """The error names the kinds there are; a class that cannot be imported is named."""
    with pytest.raises(ConfigError, match=r"pool\.kind is 'zip': auto, folder, .*s3, or module:C"):
        PoolSettings(kind="zip")
    with pytest.raises(ConfigError, match=r"'nowhere:Source' cannot be imported"):
        ingest(archive, PoolSettings(kind="nowhere:Source"), 16)
    with pytest.raises(ConfigError, match="write module:Class"):
        register_source("zip", "nowhere")


def test_every_kind_stands_in_the_configuration_page() -> None:
    """What can be given as ``pool.kind`` is where a user looks for it."""
    page = Path(__file__).parents[3] / "docs" / "configuration.md"
    text = page.read_text("utf-8")
    assert [kind for kind in POOL_SOURCES if f"`{kind}`" not in text] == []
