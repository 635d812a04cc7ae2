"""``coti.curate``: every input has its row and its reason, and what is picked can be kept."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import coti
from coti.core import checkout
from coti.core.errors import ConfigError, ModelError, PoolError, StoreError

ROOT = Path(__file__).resolve().parents[3]
BOOTS = ROOT / "assets" / "pools" / "ankle_boot"
FEW = {"preset": "bundled", "aesthetic": {"steps": 5}}


@pytest.mark.slow
def test_every_input_has_its_reason_and_the_picked_files_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any folder: byte for byte, captions beside them, and the table; over nothing.
    What had no caption is described, since that is asked for.
    What has changed or gone since is not saved under its old score."""
    pool = tmp_path / "pool"
    pool.mkdir()
    paths = [
        *sorted((BOOTS / "references").iterdir())[:6],
        *sorted((BOOTS / "pool").glob("*.png"))[:6],
    ]
    for path in paths:
        (pool / path.name).write_bytes(path.read_bytes())
    told = {path.name for path in paths[::2]}
    for name in told:
        (pool / name).with_suffix(".txt").write_text(f"a boot, {Path(name).stem}")
    (pool / f"z{paths[0].name}").write_bytes(paths[0].read_bytes())
    Image.new("L", (4, 4)).save(pool / "tiny.png")
    monkeypatch.chdir(tmp_path)
    auto = {**FEW, "captions": "auto", "captioner": {"tags": ["sharp | zebra"]}}
    found = coti.curate(BOOTS / "seeds", "pool", concept="ankle boot", count=4, **auto)
    assert sorted(found.table["place"]) == list(range(14))
    assert found.picked["order"].tolist() == [1, 2, 3, 4]
    assert found.picked["score"].is_monotonic_decreasing
    reasons = found.table.set_index("name")["reason"]
    assert reasons[f"z{paths[0].name}"].startswith("unusable (duplicate")
    assert reasons["tiny.png"].startswith("unusable (too_small")
    usable = set(reasons[[path.name for path in paths]])
    assert usable <= {"picked", "passed, not drawn", "rather something else"}
    assert found.verdict.facts["seeds"] == 10
    assert "seeds_given_back" not in found.verdict.facts
    kept = found.save("kept")
    for number, name in enumerate(found.names, start=1):
        (image,) = kept.glob(f"images/{number:04d}.[!t]*")
        assert image.read_bytes() == (pool / name).read_bytes()
        caption = (kept / f"images/{number:04d}.txt").read_text()
        assert caption == (f"a boot, {Path(name).stem}" if name in told else "sharp")
    assert 0 < len(told & set(found.names)) < 4
    others = found.table[found.table["order"].isna() & ~found.table["name"].isin(told)]
    assert set(others["caption"]) == {""}
    table = pd.read_csv(kept / "curation.csv")
    assert table["name"].tolist() == found.table["name"].tolist()
    with pytest.raises(StoreError):
        found.save("kept")

    last = pool / found.names[-1]
    Image.new("L", (32, 32)).save(last)
    says = rf"pool: {last.name} {{}} since it was picked: curate again; nothing is saved"
    with pytest.raises(PoolError, match=says.format("is another file")):
        found.save("again")
    last.unlink()
    with pytest.raises(PoolError, match=says.format(r"cannot be read \(vanished\)")):
        found.save("again")
    assert not Path("again").exists()


def test_what_cannot_be_curated_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy that needs training; a scorer that needs a base model; no bundled models."""
    seeds = BOOTS / "seeds"
    with pytest.raises(ConfigError, match="strategy coti does not grow by at_once"):
        coti.curate(seeds, seeds, concept="boot", strategy="coti", **FEW)
    with pytest.raises(ModelError, match="a part of the base model"):
        coti.curate(seeds, seeds, concept="boot", concept_score={"encoder": "autoencoder"}, **FEW)
    with pytest.raises(ConfigError, match="baseline_images cannot be given: count= says how many"):
        coti.curate(seeds, seeds, concept="boot", baseline_images=3, **FEW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkout, "PLACE", tmp_path)
    with pytest.raises(ModelError, match=r"this coti is the package alone\. Name a preset"):
        coti.curate(seeds, seeds, concept="boot", preset="bundled")
