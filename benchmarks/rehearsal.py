"""How near `coti rehearse` comes: predicted against real time and memory, on the bundled models.

    OMP_NUM_THREADS=2 python -m benchmarks.rehearsal [--only NAME]

Each run is rehearsed, then run whole by its own command on a stack that is thrown away, the cache
empty. Both are of this machine at that time: the processor's seconds stand beside the clock's,
since they tell whether others used the machine meanwhile. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.result import machine, say, table
from coti.settings import RunSettings
from coti.settings.changes import changed_run_file
from coti.settings.from_yaml import read_yaml
from ops.quiet import quiet_terminal
from ops.stack.locations import ROOT

RUNS: dict[str, list[str]] = {
    "quickstart": [],
    "longer cycles, fewer of them": [
        "train.max_steps=150",
        "controller.max_cycles=1",
        "generation.num_inference_steps=20",
    ],
    "more generations, larger images in training batches": [
        "train.batch_size=32",
        "controller.max_cycles=2",
        "generation.cycle_images=512",
    ],
}
"""Changes of the quickstart."""
_STEPS = """
import json
from zenml.client import Client
from ops.rehearsal.watch import step_name
run = Client().list_pipeline_runs(size=1, sort_by='desc:created').items[0]
run = Client().get_pipeline_run(run.id)
found = {}
for key, step in run.steps.items():
    name = step_name(key)
    found[name] = found.get(name, 0) + (step.end_time - step.start_time).total_seconds()
print(json.dumps(found))
"""
ASKED = 0.2
"""Of the real number, that a predicted one may be off."""


def whole_run(path: Path, folder: Path) -> dict[str, Any]:
    """Seconds, of the clock and of the processors, peak bytes and seconds by step."""
    from ops.rehearsal.throw_away import environment, make_checkout

    checkout = make_checkout(folder / "checkout")
    env = environment(checkout, folder)
    start = "from ops.stack.register_stack import register_stack; register_stack('local')"
    quiet: dict[str, Any] = {"cwd": checkout, "env": env, "capture_output": True, "text": True}
    subprocess.run([sys.executable, "-c", start], check=True, **quiet)
    zenml = str(Path(sys.executable).with_name("zenml"))
    words = [sys.executable, zenml, "pipeline", "run", "coti_concept", "-c", str(path)]
    # Of all children that have ended the largest, which is this one.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(words, check=False, **quiet)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 4, 5):
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    said = subprocess.run([sys.executable, "-c", _STEPS], check=True, **quiet).stdout
    return {
        "seconds": seconds,
        "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak": after.ru_maxrss * 1024,
        "steps": json.loads(said.strip().splitlines()[-1]),
    }


def compared(name: str, changes: list[str]) -> dict[str, Any]:
    """A run's rehearsal beside the run."""
    import yaml

    from ops.rehearsal.run_rehearsal import rehearse
    from ops.rehearsal.throw_away import Rehearsing, throw_away_folder
    from ops.run_file import check_run_file

    quick = ROOT / "configs" / "quickstart.yaml"
    with throw_away_folder() as folder:
        path = folder / "run.yaml"
        content = changed_run_file(read_yaml(quick), changes, str(quick))
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        settings: RunSettings = check_run_file(path)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with Rehearsing(folder) as process:
            answer = rehearse(settings, process)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if answer.estimate is None:
            raise SystemExit("\n".join(answer.problems))
        real = whole_run(path, folder / "whole")
    found = answer.estimate
    return {
        "name": name,
        "rehearsal": answer.took,
        "rehearsal_processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "predicted": asdict(found.seconds),
        "predicted_processor": found.processor,
        "predicted_peak": found.peak,
        "steps": {row.step: asdict(row.seconds) for row in found.steps},
        "real": real,
        "time_off": found.seconds.expected / real["seconds"] - 1,
        "processor_off": found.processor / real["processor"] - 1,
        "memory_off": found.peak / real["peak"] - 1,
    }


def main() -> None:
    """Compare and say it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", choices=list(RUNS), default=None)
    only = parser.parse_args().only
    quiet_terminal()
    rows = [compared(name, RUNS[name]) for name in RUNS if only in (None, name)]
    quiet_terminal(again=True)
    head = ["run", "rehearsal, s", "predicted, s", "range", "real, s", "off"]
    head += ["processors, predicted, s", "real, s", "off", "predicted GiB"]
    head += ["real GiB", "off"]
    lines = [
        [
            row["name"],
            f"{row['rehearsal']:.0f} ({row['rehearsal_processor']:.0f} of processors)",
            f"{row['predicted']['expected']:.0f}",
            f"{row['predicted']['low']:.0f} to {row['predicted']['high']:.0f}",
            f"{row['real']['seconds']:.0f}",
            f"{row['time_off']:+.0%}",
            f"{row['predicted_processor']:.0f}",
            f"{row['real']['processor']:.0f}",
            f"{row['processor_off']:+.0%}",
            f"{row['predicted_peak'] / 2**30:.2f}",
            f"{row['real']['peak'] / 2**30:.2f}",
            f"{row['memory_off']:+.0%}",
        ]
        for row in rows
    ]
    within = all(max(abs(row["time_off"]), abs(row["memory_off"])) <= ASKED for row in rows)
    steps = [
        [step, f"{row['steps'].get(step, {}).get('expected', 0):.1f}", f"{seconds:.1f}"]
        for row in rows[:1]
        for step, seconds in row["real"]["steps"].items()
    ]
    result = {"benchmark": "rehearsal", **machine(), "asked": ASKED, "holds": within, "rows": rows}
    say(
        f"{table(head, lines)}\n\n{table(['step', 'predicted, s', 'real, s'], steps)}\n\nAsked: "
        f"within {ASKED:.0%} of time and memory; it {'holds' if within else 'does not hold'}.",
        result,
    )


if __name__ == "__main__":
    main()
