"""A kind of pool that the package knows nothing of: one class, one line."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from coti.commands.pool import pool
from coti.core.errors import ConfigError
from coti.pool.entry import Entry
from coti.pool.ingest import ingest
from coti.pool.open_source import detect_kind, fingerprint_source
from coti.pool.sources import POOL_SOURCES
from coti.settings import PoolSettings
from tests.coti.pool.conftest import encoded, image


class ZipSource:
    """The images in a zip archive, in order of name."""

    kind = "own"

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
    """The kind ``own``, forgotten afterwards."""
    monkeypatch.setattr(POOL_SOURCES, "targets", dict(POOL_SOURCES.targets))
    POOL_SOURCES.register("own", OWN)


def captions(archive: str, settings: PoolSettings) -> dict[str, str]:
    """What is ingested, by caption, with the reason against it."""
    ingested = ingest(archive, settings, 16)
    assert ingested.kind == "own"
    assert ingested.notes == ["from a zip archive"]
    return dict(zip(ingested.manifest["caption"], ingested.manifest["reason"], strict=True))


@pytest.mark.usefixtures("registered")
def test_a_registered_source_is_found_ingested_and_listed(archive: str) -> None:
    """It claims its pool, is a valid kind, is fingerprinted, and stands in the command's help."""
    found = {"boot": "", "shoe": "", "text": "not_an_image"}
    assert detect_kind(archive) == "own"
    assert captions(archive, PoolSettings()) == found
    assert captions(archive, PoolSettings(kind="own")) == found
    assert fingerprint_source(archive).startswith("boot.png:")
    shown = CliRunner().invoke(pool, ["check", "--help"]).output
    assert all(kind in shown for kind in POOL_SOURCES.names())


def test_a_source_may_be_named_by_its_class(archive: str) -> None:
    """``module:Class`` needs no registration, so that it works in a pod too."""
    assert captions(archive, PoolSettings(kind=OWN))["text"] == "not_an_image"


def test_kinds_that_are_none_are_refused(archive: str) -> None:
    """The error names the kinds there are; a class that cannot be imported is named."""
    with pytest.raises(ConfigError, match=r"no kind of pool 'own': take one of folder, .*s3"):
        ingest(archive, PoolSettings(kind="own"), 16)
    with pytest.raises(ConfigError, match=r"'nowhere:Source' cannot be imported"):
        ingest(archive, PoolSettings(kind="nowhere:Source"), 16)


def test_every_kind_stands_in_the_configuration_page() -> None:
    """What can be given as ``pool_rules.kind`` is where a user looks for it."""
    page = Path(__file__).parents[3] / "docs" / "configuration.md"
    text = page.read_text("utf-8")
    assert [kind for kind in POOL_SOURCES.names() if f"`{kind}`" not in text] == []
