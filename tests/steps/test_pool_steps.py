"""The pool's steps in a real dynamic pipeline on a real ZenML, without the model's part."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.coti.pool.conftest import encoded, image
from tests.warm_start import warm_start

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, state: Path, *more: str, device: str = "cpu") -> dict[str, Any]:
    """One pipeline run in a process of its own."""
    done = warm_start().run(
        ["-m", "tests.steps.pool_pipeline", str(folder), "3", device, *more],
        ROOT,
        {
            **os.environ,
            "ZENML_CONFIG_PATH": str(state / "zenml"),
            "ZENML_LOCAL_STORES_PATH": str(state / "stores"),
            "COTI_LOG_DIR": str(state / "logs"),
        },
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    *said, last = done.stdout.strip().splitlines()
    found: dict[str, Any] = json.loads(last)
    return {**found, "said": [line for line in said if line.endswith("it is computed anew.")]}


def shards_of(found: dict[str, Any]) -> list[str]:
    """Statuses of the mapped step's invocations."""
    return [status for name, status in found["steps"].items() if "embed_pool" in name]


def test_a_pool_goes_through_in_shards_and_is_held_against_its_last_version(tmp_path: Path) -> None:
    """Seven different images and one that only its bytes tell from another: three shards, one
    near duplicate by embedding, sums that add up. The same pool is a cache hit in every step, a
    changed one is ingested again, and its drift from the last version is said. What was damaged in
    the artifact store is computed again.
    """
    pool = tmp_path / "pool"
    pool.mkdir()
    for number in range(7):
        (pool / f"{number}.png").write_bytes(encoded(image(number, (64, 64))))
    (pool / "again.png").write_bytes(encoded(image(6, (64, 64)), compress_level=1))
    first = run(pool, tmp_path)
    assert first["source"]["kind"] == "folder"
    assert shards_of(first) == ["completed"] * 3
    assert first["ids"] == first["accepted"]
    assert first["rows"] == 7
    assert list(first["quarantined"].values()) == ["near_duplicate"]
    assert first["drift"] == []

    # Another device of the same kind is no change, either.
    second = run(pool, tmp_path, device="cpu:0")
    assert set(second["steps"].values()) == {"cached"}
    assert {**second, "steps": {}} == {**first, "steps": {}}

    for number in range(7):
        (pool / f"{number}.png").write_bytes(encoded(image(number, (400, 400))))
    third = run(pool, tmp_path, "--damage")
    assert third["steps"]["ingest_pool"] == "completed"
    assert third["source"]["version"] != first["source"]["version"]
    assert any(line.startswith("mean width was 64 and is 3") for line in third["drift"])

    # A bit of every artifact was flipped since: none is read, and each step runs again by itself.
    assert len(third["damaged"]) == 8
    for said in third["damaged"]:
        assert re.fullmatch(
            r"the artifact '\w+' of step '\w+' is not what was written \(.*\)", said
        )
    fourth = run(pool, tmp_path)
    assert set(fourth["steps"].values()) == {"completed"}
    # Two were found when they were read; the seeds of the last follow the folder that has changed.
    unsaid = ("ingest_pool", "validate_pool", "gather_features")
    assert {line.split("'")[3] for line in fourth["said"]} == fourth["steps"].keys() - {*unsaid}
    for same in ("drift", "ids", "accepted", "quarantined"):
        assert fourth[same] == third[same]
