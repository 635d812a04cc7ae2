"""Writes docs/performance.md: runs the speed benchmarks and puts what they report into one page.

    python -m benchmarks.performance            # for real, on an otherwise idle machine
    python -m benchmarks.performance --quick --output x.md    # that it runs; no number counts

Each benchmark runs in a process of its own; its last line, one JSON object, is all that is read.
``--add FILE`` takes such an object, saved on another machine (a GPU), instead of running anything.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

Result = dict[str, Any]
Words = tuple[str, ...]

EMBEDDING = Path("outputs/latest/learned_embeds.safetensors")
"""What the last run learned."""
TRUE_SIZE = Path(__file__).with_name("true_size.md")
"""The page's last section, a log: runs of hours that no command repeats here."""
GPU_ROWS = ("ti_throughput", "generation_throughput")
"""Benchmarks in which a GPU's result belongs below a CPU's."""


class Section(NamedTuple):
    """A part of the page."""

    heading: str
    arguments: Words = ()
    quick: Words = ()
    """Arguments of a trial run."""


SECTIONS = {
    "ti_throughput": Section(
        "Training speed", quick=("--batches", "2", "--rounds", "1", "--steps", "1")
    ),
    "ti_memory": Section("Memory"),
    "gpu_memory": Section("What lives on a GPU", quick=("--only", "sd15", "--quick")),
    "ti_time_to_quality": Section(
        "Time to quality",
        ("--seeds", "0", "1", "2"),
        ("--steps", "4", "--cycle-steps", "2", "--every", "2", "--images", "4", "--pool", "80"),
    ),
    "generation_throughput": Section(
        "Generation",
        ("--embedding", str(EMBEDDING), "--metrics", "256"),
        ("--images", "2", "--rounds", "1"),
    ),
}
"""By the benchmark's module."""


def run(name: str, arguments: Words) -> Result:
    """The JSON object that a benchmark ends with."""
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    sys.stdout.write(done.stdout)
    found: Result = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def page(results: list[Result], quick: bool) -> str:
    """The whole page."""
    warning = "\n\n**A trial run with tiny sizes: the numbers mean nothing.**" if quick else ""
    parts = [
        "# Performance\n\nWritten by `python -m benchmarks.performance`; don't edit. Each number "
        "comes from one run on one machine, each ratio from taking turns in one process: "
        f"{platform.machine()}, Python {platform.python_version()}.{warning}"
    ]
    for name, section in SECTIONS.items():
        report = import_module(f"benchmarks.{name}").report
        said = [result for result in results if result["benchmark"] == name]
        body = "\n\n".join(report(result) for result in said) or "not measured"
        measured = any(result.get("gpu") == "measured" for result in said)
        if name in GPU_ROWS and not measured:
            body += "\n\nOn a GPU: not measured."
        parts.append(f"## {section.heading}\n\n`python -m benchmarks.{name}`\n\n{body}")
    parts.append(TRUE_SIZE.read_text(encoding="utf-8").strip())
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Run, then write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=Path("docs/performance.md"))
    parser.add_argument("--only", nargs="+", choices=sorted(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--add", type=Path, nargs="+", default=[], help="saved JSON objects")
    parser.add_argument("--no-run", action="store_true", help="only what --add gives")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    given = parser.parse_args()
    wanted = () if given.no_run or given.quick else given.only
    if "generation_throughput" in wanted and not EMBEDDING.exists():
        parser.error(
            f"there is no {EMBEDDING}, which the images are generated with: make quickstart"
        )
    results = [json.loads(path.read_text().strip().splitlines()[-1]) for path in given.add]
    given.output.parent.mkdir(parents=True, exist_ok=True)
    for name in () if given.no_run else given.only:
        section = SECTIONS[name]
        results.append(run(name, section.quick if given.quick else section.arguments))
        # After each: hours are not lost to the last one's failure.
        given.output.write_text(page(results, given.quick), encoding="utf-8")
    given.output.write_text(page(results, given.quick), encoding="utf-8")
    print(f"written: {given.output}")


if __name__ == "__main__":
    main()
