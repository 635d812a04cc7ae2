"""Small inputs that claim gigabytes or hours end like any other: in rows, or in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adversary.bombs import BOMBS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is bounded by Linux")
def test_no_small_input_takes_much_memory_or_time(tmp_path: Path) -> None:
    """Archives, tables and sidecars are read in the main process, in 300 MB and linear time."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.adversary.bombs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["name"] for each in found] == list(BOMBS)
    assert not [each for each in found if each["failed"] or not each["ends"]]
