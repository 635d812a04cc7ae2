"""From folders to a run's data, as the guide shows it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from coti.pool.concept_data import concept_data

GUIDE = Path("docs/guides/python.md")
SHIPPED = Path("assets/pools/ankle_boot")
TINY: dict[str, Any] = {
    "concept": "ankle boot",
    "token": {"placeholder_token": "<ankle-boot>", "initializer": "foot"},
    "aesthetic": {"steps": 5},
    "train": {"max_steps": 2, "phi_every": 1, "batch_size": 2},
    "generation": {"num_inference_steps": 1, "phi_images": 4, "cycle_images": 8},
    "controller": {"max_cycles": 1},
    "selection": {"batch": 2},
    "evaluation": {"captions": ["coat", "bag"], "kid_subsets": 2, "kid_subset_size": 4},
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the guide's code leaves, run on a dozen images of the bundled pool."""
    folder = tmp_path_factory.mktemp("concept")
    for name, count in (("seeds", 3), ("pool", 24), ("references", 8)):
        (folder / name).mkdir()
        for image in sorted((SHIPPED / name).glob("*.png"))[:count]:
            shutil.copy(image, folder / name)
    places = {name: str(folder / name) for name in ("seeds", "pool", "references")}
    places["ground_truth"] = str(SHIPPED / "ground_truth.csv")
    run = folder / "my_concept.yaml"
    run.write_text(yaml.safe_dump({"parameters": {"config": {**TINY, **places}}}))
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if '"my_concept.yaml"' in block)
    code = code.replace('"my_concept.yaml"', repr(str(run)))
    found: dict[str, Any] = {"folder": folder}
    exec(compile(code, str(GUIDE), "exec"), found)
    return found


@pytest.mark.slow
def test_what_the_guide_shows_learns_an_embedding(ran: dict[str, Any]) -> None:
    """From three folders to what was learned, which says on which files of a base model."""
    assert ran["result"].embedding.metadata["base_model_fingerprint"]
    assert len(ran["result"].records) >= 1


@pytest.mark.slow
def test_all_parts_speak_of_the_same_images(ran: dict[str, Any]) -> None:
    """Features, captions, file names and ground truth; references on the judge."""
    settings = ran["settings"]
    data = concept_data(settings, ran["models"])
    pool = data.features.strings("pool_ids")
    assert pool
    assert list(data.captions) == pool == data.pool.names
    assert data.pool.tensor(pool).shape == (len(pool), 3, 32, 32)
    assert data.features.strings("seed_ids") == data.seeds.names
    assert set(data.sources) == {*pool, *data.seeds.names}
    assert {data.sources[name] for name in pool} <= set(data.ground_truth)
    assert len(data.references["references"]) == 8
    assert settings.references == str(ran["folder"] / "references")
