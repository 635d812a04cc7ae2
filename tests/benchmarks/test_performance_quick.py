"""The speed benchmarks run to their end and write their page; no number of theirs is judged."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.performance import SECTIONS
from tests.warm_start import warm_start

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"
HEADINGS = [
    "Training speed",
    "Memory",
    "What lives on a GPU",
    "Time to quality",
    "Generation",
    "True size, rehearsed on a CPU",
]
NUMBER = re.compile(r"\d+\.\d+")


def benchmark(*words: str, **environment: str) -> str:
    """What ``python -m benchmarks…`` says, one thread, in the repository's root."""
    done = warm_start().run(["-m", *words], ROOT, {**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tables(section: str) -> list[list[list[str]]]:
    """Each Markdown table of a section: its rows' cells, without the head."""
    found = re.findall(r"(?:^\|.*\|\n?)+", section, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
        for text in found
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this is about a machine without a GPU")
def test_a_trial_run_writes_every_section(tmp_path: Path) -> None:
    """All have their numbers; what only a GPU can tell says "not measured"; the published
    page is as it was."""
    before = PAGE.read_bytes()
    output = tmp_path / "pages" / "performance.md"
    # All but one here, where nothing is imported anew: the page takes them as another machine's.
    words = ["--quick", "--only", "ti_memory", "--output", str(output), "--add"]
    for name in SECTIONS.keys() - {"ti_memory"}:
        saved = tmp_path / f"{name}.json"
        saved.write_text(benchmark(f"benchmarks.{name}", *SECTIONS[name].quick), encoding="utf-8")
        words.append(str(saved))
    said = benchmark("benchmarks.performance", *words)
    assert f"written: {output}" in said
    assert PAGE.read_bytes() == before
    page = output.read_text(encoding="utf-8")
    assert "the numbers mean nothing" in page
    head, *sections = page.split("\n## ")
    assert head.startswith("# Performance")
    assert [section.splitlines()[0] for section in sections] == HEADINGS
    training, memory, alive, quality, generation, _ = sections

    steps, parts = tables(training)
    assert steps[0][0] == "2"
    assert all(NUMBER.fullmatch(cell) for cell in steps[0][1:6])
    gpu = [f"{size}, GPU" for size in (1, 4, 16)]
    assert [row[0] for row in steps[1:]] == gpu
    assert all(cell == "not measured" for row in steps[1:] for cell in row[1:])
    assert len(parts) > 5
    assert all(re.fullmatch(r"-?\d+\.\d", row[1]) for row in parts)

    assert re.search(r"the frozen weights take 2\.40 GiB", memory)
    (peaks,) = tables(memory)
    assert len(peaks) == 5
    assert all(row[2:] == ["not measured"] * 3 for row in peaks)

    lives, sizes, _ = tables(alive)
    assert [row[0] for row in lives] == ["sd15"] * 7
    assert [row[1] for row in sizes] == ["float16", "bfloat16", "float32"]

    trials, compared = tables(quality)
    methods = {row[0] for row in trials}
    assert methods == {"TI", "TI + DVAR", "TI (pool)", "COTI"}
    assert all(any(NUMBER.fullmatch(cell) for cell in row) for row in trials)
    assert compared

    (generated,) = tables(generation)
    assert [row[0] for row in generated] == ["5", "7", "10", "15", "20"]
    assert all(NUMBER.fullmatch(cell) for row in generated for cell in row[1:])
    for section in (training, generation):
        assert section.rstrip().endswith("On a GPU: not measured.")


def test_a_saved_result_is_added_without_running(tmp_path: Path) -> None:
    """As it is done with a GPU's: one JSON object, a page from it, the other sections empty."""
    result: dict[str, Any] = {
        "benchmark": "generation_throughput",
        "device": "some GPU",
        "threads": 8,
        "dtype": "torch.bfloat16",
        "ours": 12.0,
        "pipeline": 10.0,
        "ratio": 1.2,
        "rows": [{"steps": 5, "images_a_second": 20.0, "difference": 4.0}],
        "gpu": "measured",
    }
    saved, output = tmp_path / "gpu.json", tmp_path / "page.md"
    saved.write_text(f"some lines before\n{json.dumps(result)}\n", encoding="utf-8")
    words = ("--no-run", "--add", str(saved), "--output", str(output))
    benchmark("benchmarks.performance", *words)
    sections = output.read_text(encoding="utf-8").split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == HEADINGS
    assert "| 5 | 20.0 | 4.00 |" in sections[4]
    assert "On a GPU: not measured." not in sections[4]
    assert all("\n\nnot measured" in section for section in sections[:4])


def test_compiling_is_not_measured_without_a_compiler() -> None:
    """It is said, and the rest is measured as ever; with one it takes a minute or more."""
    words = ("--batches", "2", "--rounds", "1", "--steps", "1", "--compile")
    said = benchmark("benchmarks.ti_throughput", *words, CXX="no-such-compiler")
    assert "torch.compile: not measured: no C++ compiler" in said
    (row,) = json.loads(said.strip().splitlines()[-1])["rows"]
    assert "compiled" not in row
    assert set(row["seconds"]) == {"ours", "example", "bare"}
