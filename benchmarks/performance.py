"""Writes docs/performance.md: runs the speed benchmarks and puts what they said into one page.

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
from collections.abc import Callable
from pathlib import Path
from typing import Any

Result = dict[str, Any]
Words = tuple[str, ...]

EMBEDDING = Path("outputs/latest/learned_embeds.safetensors")
"""What the last run learned."""
COMMANDS: dict[str, tuple[Words, Words]] = {
    "ti_throughput": ((), ("--batches", "2", "--rounds", "1", "--steps", "1")),
    "ti_memory": ((), ()),
    "ti_time_to_quality": (
        ("--seeds", "0", "1", "2"),
        ("--steps", "4", "--cycle-steps", "2", "--every", "2", "--images", "4", "--pool", "80"),
    ),
    "generation_throughput": (
        ("--embedding", str(EMBEDDING), "--metrics", "256"),
        ("--images", "2", "--rounds", "1"),
    ),
}
"""Module -> arguments for real, and those of ``--quick``."""


def run(name: str, arguments: Words) -> Result:
    """The JSON object that a benchmark ends with."""
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    sys.stdout.write(done.stdout)
    found: Result = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def throughput(result: Result) -> str:
    """Training: the step against its peers, and where its time goes."""
    rows = []
    for row in result["rows"]:
        times = [f"{1e3 * row['seconds'][name]:.1f}" for name in ("ours", "example", "bare")]
        share = f"{row['compute']['share']:.0%}"
        ratios = [f"{row['example_over_ours']:.2f}", f"{row['ours_over_bare']:.3f}"]
        rows.append([str(row["batch_size"]), *times, *ratios, share])
    head = ["batch", "ours, ms", "diffusers example, ms", "bare work, ms"]
    head += ["example / ours", "ours / bare", "share of the matmul rate"]
    if result["gpu"] != "measured":
        rows += [[f"{size}, GPU", *["not measured"] * 6] for size in (1, 4, 16)]
    ceilings = [
        f"{row['seconds']['example'] / row['seconds']['bare']:.2f} at batch {row['batch_size']}"
        for row in result["rows"]
    ]
    names = list(result["rows"][0]["parts"])
    parts = [
        [name, *(f"{1e3 * row['parts'][name]:.1f}" for row in result["rows"])] for name in names
    ]
    sizes = [f"batch {row['batch_size']}, ms" for row in result["rows"]]
    operations = "\n".join(f"{n}. {what}" for n, what in enumerate(result["operations"], 1))
    return (
        f"{result['model']}, {result['device']}, {result['dtype']}, {result['threads']} threads, "
        f"torch {result['torch']}; medians of {result['rows'][0]['rounds']} paired rounds. Asked: "
        "example / ours at least 1.3 on a CPU, 2 on a GPU at batch 4; ours / bare at most 1.1.\n\n"
        f"{table(head, rows)}\n\nNo trainer gets beyond example / bare, here "
        f"{', '.join(ceilings)}: that is what the example wastes on this machine."
        "\n\nWhere a step's time goes, each part timed alone:\n\n"
        f"{table(['part', *sizes], parts)}\n\nThe example's step is reimplemented, with these "
        f"operations:\n\n{operations}\n\nLeft out: {'; '.join(result['left_out'])}."
    )


def memory(result: Result) -> str:
    """Peaks on the GPU."""
    rows = [
        [
            str(row["batch_size"]),
            "yes" if row["gradient_checkpointing"] else "no",
            *(
                f"{row[name]:.2f} GiB" if name in row else "not measured"
                for name in ("allocated", "encoding", "reserved")
            ),
        ]
        for row in result["rows"]
    ]
    fits = [
        f"batch {row['batch_size']}" + (" with" if row["gradient_checkpointing"] else " without")
        for row in result["rows"]
        if "allocated" in row and max(row["allocated"], row["encoding"]) * (1 << 30) <= 8e9
    ]
    said = f"{fits[0]} gradient checkpointing" if fits else "none"
    least = f" The largest that fits 8 GB: {said}." if result["gpu"] == "measured" else ""
    head = ["batch", "gradient checkpointing", "allocated in a step", "encoding", "reserved"]
    return (
        f"{result['model']} at its resolution in bf16, {result['device']}; the frozen weights take "
        f"{result['weights_gib_bf16']:.2f} GiB.{least}\n\n{table(head, rows)}"
    )


def quality(result: Result) -> str:
    """Image-steps and seconds to the targets."""
    targets = result["targets"]
    rows = []
    for name, trials in result["methods"].items():
        for trial in trials:
            cells = []
            for reached in trial["reached"]:
                steps, seconds = "not reached", "–"
                if reached:
                    steps, seconds = f"{reached['image_steps']:.0f}", f"{reached['seconds']:.1f}"
                cells += [steps, seconds]
            best = max((row["r_precision"] for row in trial["rows"]), default=0.0)
            rows.append(
                [name, str(trial["seed"]), *cells, f"{best:.3f}", f"{trial['seconds']:.1f}"]
            )
    to = [word for target in targets for word in (f"image-steps to {target:g}", "seconds")]
    head = ["method", "seed", *to, "best", "seconds in all"]
    ratios = [
        [name, f"{target:g}", f"{seeds}", *(f"{value:.2f}" if value else "–" for value in pair)]
        for place, target in enumerate(targets)
        for name, (seeds, *pair) in ratios_of(result, place).items()
    ]
    compared = table(["method / COTI", "target", "seeds", "image-steps", "seconds"], ratios)
    return (
        f"R-precision top1/{result['candidates']} of {result['images']} images; "
        f"{result['device']}, {result['dtype']}, {result['threads']} threads. The time for "
        f"measuring is left out.\n\n{table(head, rows)}\n\nMeans to the target over the seeds on "
        f"which both reach it:\n\n{compared}"
    )


def ratios_of(result: Result, place: int) -> dict[str, tuple[int, float | None, float | None]]:
    """Seeds that count, and each other method's image-steps and seconds to a target over COTI's."""
    own = {t["seed"]: t["reached"][place] for t in result["methods"].get("COTI", [])}
    found: dict[str, tuple[int, float | None, float | None]] = {}
    for name, trials in result["methods"].items():
        if name == "COTI":
            continue
        both = [(t["reached"][place], own.get(t["seed"])) for t in trials]
        pairs = [(theirs, ours) for theirs, ours in both if theirs and ours]
        found[name] = (
            len(pairs),
            _ratio([(a["image_steps"], b["image_steps"]) for a, b in pairs]),
            _ratio([(a["seconds"], b["seconds"]) for a, b in pairs]),
        )
    return found


def _ratio(pairs: list[tuple[float, float]]) -> float | None:
    below = sum(b for _, b in pairs)
    return sum(a for a, _ in pairs) / below if below else None


def generation(result: Result) -> str:
    """Images a second, and what fewer solver steps cost."""
    judged = "fd_judge" in result["rows"][0]
    head = ["solver steps", "images a second", "levels of 255 from 50 steps"]
    head += ["fd_judge", "KID [95 %]", "R-precision"] if judged else []
    rows = []
    for row in result["rows"]:
        cells = [str(row["steps"]), f"{row['images_a_second']:.1f}", f"{row['difference']:.2f}"]
        if judged:
            kid = f"{row['kid']:.4f} [{row['kid_low']:.4f}, {row['kid_high']:.4f}]"
            cells += [f"{row['fd_judge']:.3f}", kid, f"{row['r_precision']:.3f}"]
        rows.append(cells)
    noise = ""
    if judged:
        other = result["other_noise"]
        enough = result["enough_steps"]
        said = "none but 50" if enough is None else f"{enough}"
        noise = (
            f"\n\nAnother noise at 50 steps: fd_judge {other['fd_judge']:.3f}, KID "
            f"{other['kid']:.4f}, R-precision {other['r_precision']:.3f}; what differs less from "
            f"50 steps than this is chance. The fewest steps from which on R-precision and KID's "
            f"interval agree with 50 steps within it, or 0.01: {said}."
        )
    return (
        f"{result['device']}, {result['dtype']}, {result['threads']} threads: ours "
        f"{result['ours']:.1f} images a second, StableDiffusionPipeline "
        f"{result['pipeline']:.1f}, ratio {result['ratio']:.2f}.\n\n{table(head, rows)}{noise}"
    )


SECTIONS: dict[str, tuple[str, Callable[[Result], str], bool]] = {
    "ti_throughput": ("Training speed", throughput, True),
    "ti_memory": ("Memory", memory, False),
    "ti_time_to_quality": ("Time to quality", quality, False),
    "generation_throughput": ("Generation", generation, True),
}
"""Module -> heading, what renders it, and whether a GPU row belongs below a CPU's."""


def page(results: list[Result], quick: bool) -> str:
    """The whole page."""
    warning = "\n\n**A trial run with tiny sizes: the numbers mean nothing.**" if quick else ""
    parts = [
        "# Performance\n\nWritten by `python -m benchmarks.performance`; don't edit. Each number "
        "comes from one run on one machine, each ratio from taking turns in one process: "
        f"{platform.machine()}, Python {platform.python_version()}.{warning}"
    ]
    for name, (heading, render, has_gpu_row) in SECTIONS.items():
        said = [result for result in results if result["benchmark"] == name]
        body = "\n\n".join(render(result) for result in said) or "not measured"
        measured = any(result.get("gpu") == "measured" for result in said)
        if has_gpu_row and not measured:
            body += "\n\nOn a GPU: not measured."
        parts.append(f"## {heading}\n\n`python -m benchmarks.{name}`\n\n{body}")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Run, then write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=Path("docs/performance.md"))
    parser.add_argument("--only", nargs="+", choices=sorted(COMMANDS), default=list(COMMANDS))
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
        results.append(run(name, COMMANDS[name][1 if given.quick else 0]))
        # After each: hours are not lost to the last one's failure.
        given.output.write_text(page(results, given.quick), encoding="utf-8")
    given.output.write_text(page(results, given.quick), encoding="utf-8")
    print(f"written: {given.output}")


if __name__ == "__main__":
    main()
