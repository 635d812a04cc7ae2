from __future__ import annotations

from pathlib import Path

import pytest

from assets.build.make_uses import main
from assets.build.world import DEBIAN_FOLDER
from ops.quiet import ROOT


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="needs dataset-fashion-mnist")
def test_the_committed_images_are_the_builders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, and no image of a use is in two of its folders."""
    monkeypatch.setattr("sys.argv", ["make_uses", "--output", str(tmp_path)])
    main()
    ours = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.png")}
    there = ROOT / "assets" / "uses"
    assert ours == {path.relative_to(there): path.read_bytes() for path in there.rglob("*.png")}
    for use in ("negative", "footwear"):
        images = [content for path, content in ours.items() if path.parts[0] == use]
        assert len(set(images)) == len(images)
