"""Images that the user chose are decoded where a decoder can do no harm, too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coti.core.errors import PoolError
from coti.core.images import read_image
from coti.pool.chosen_images import image_reader
from tests.coti.pool.conftest import encoded, image

ROOT = Path(__file__).parents[3]


def test_an_image_to_edit_keeps_its_size(tmp_path: Path) -> None:
    """The same pixels as in this process, by a link, too; what is none is one sentence."""
    (tmp_path / "a.png").write_bytes(encoded(image(1, (37, 21))))
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "none.png").write_bytes(b"text")
    with image_reader() as read:
        for name in ("a.png", "link.png"):
            assert read(tmp_path / name).size == (37, 21)
            assert read(tmp_path / name).tobytes() == read_image(tmp_path / name).tobytes()
        for name in ("none.png", "gone.png"):
            with pytest.raises(PoolError, match=f"{name} cannot be read as an image"):
                read(tmp_path / name)


def test_no_command_or_step_decodes_in_its_own_process() -> None:
    """Whatever the user names goes through the sandbox."""
    files = [
        path
        for folder in ("coti/commands", "steps", "cli", "pipelines", "coti/loop")
        for path in (ROOT / folder).rglob("*.py")
    ]
    assert len(files) > 40
    decoding = re.compile(r"\bread_image(_folder)?\b|Image\.open|\bcore\.decoding\b")
    assert not [path.name for path in files if decoding.search(path.read_text(encoding="utf-8"))]
