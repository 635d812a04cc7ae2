"""The notebook, from score to images: its cells in order in one process, as in a kernel."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "first_embedding.ipynb"
TINY = {
    "aesthetic": {"steps": 5},
    "train": {"max_steps": 2, "batch_size": 2},
    "generation": {"num_inference_steps": 1, "cycle_images": 4, "sample_images": 2},
    "controller": {"max_cycles": 1},
}


@pytest.mark.slow
def test_it_runs_from_score_to_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a part of the pool, with few steps; it holds no outputs; a file and images are left."""
    pool = tmp_path / "pool"
    pool.mkdir()
    for path in sorted((ROOT / "assets" / "pools" / "ankle_boot" / "pool").iterdir())[:20]:
        shutil.copy(path, pool)
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    codes = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in codes)
    space: dict[str, Any] = {"__name__": "notebook"}
    for cell in codes:
        exec(compile("".join(cell["source"]), cell["id"], "exec"), space)
        if "parameters" in cell["metadata"].get("tags", ()):
            space |= {"POOL": str(pool), "KEYS": TINY}
    said = capsys.readouterr().out
    assert "cycle 0: " in said
    assert said.count(", because ") + said.count("speaks against it") == 3
    assert load_file("learned_embeds.safetensors")["<ankle-boot>"].shape == (4, 128)
    sheet = space["images"](f"a photo of a {space['TOKEN']}", count=2)
    assert isinstance(sheet, Image.Image)
    assert space["how"] == {"num_inference_steps": 1, "guidance_scale": 1.5}
    assert sheet.width > 2 * 32
