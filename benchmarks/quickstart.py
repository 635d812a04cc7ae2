"""The quickstart, itemised: where its seconds go.

    python -m benchmarks.quickstart [--config FILE]

Runs the real pipeline in this process with the cache off. The functions behind the steps are timed
from inside; what remains of the wall clock is orchestration: ZenML, MLflow and Great Expectations,
their imports included. What the run learns is in its own table; over several seeds and strategies
an experiment says it, the untrained start among them. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from benchmarks.result import machine, say, table

WATCHING = ("track_cycle", "register_embedding", "validate_pool")
"""Steps that are MLflow's and Great Expectations' work."""
ENTRYPOINT = "entrypoint"
"""Where ZenML keeps the function behind a step."""


def timed(name: str, function: Callable[..., Any], seconds: dict[str, float]) -> Callable[..., Any]:
    """The function, its seconds added up under its name."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[name] += time.perf_counter() - started

    return run


def main() -> None:
    """Run and say it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--config", type=Path, default=None)
    given = parser.parse_args()

    began = time.perf_counter()
    import diffusers  # noqa: F401
    import open_clip  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401

    seconds: dict[str, float] = defaultdict(float)
    seconds["imports of the method"] = time.perf_counter() - began
    from ops.quiet import quiet_terminal

    quiet_terminal()
    from ops.run_file import QUICKSTART
    from pipelines.concept import STEPS, coti_concept

    quiet_terminal(again=True)
    for step in STEPS:
        setattr(type(step), ENTRYPOINT, staticmethod(timed(step.name, step.entrypoint, seconds)))
    path = given.config or QUICKSTART
    coti_concept.with_options(config_path=str(path), enable_cache=False)()

    total = time.perf_counter() - began
    method = sum(value for name, value in seconds.items() if name not in WATCHING)
    seconds["ZenML (the rest)"] = total - sum(seconds.values())
    share = 1 - method / total
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows = [[name, f"{value:.1f}"] for name, value in sorted(seconds.items(), key=lambda x: -x[1])]
    result = {
        "benchmark": "quickstart",
        **machine(),
        "seconds": total,
        "orchestration_share": share,
        "peak_gib": peak,
        "parts": seconds,
    }
    say(
        f"\n{table(['part', 'seconds'], rows)}\n\n{total:.0f} s from process start, {share:.1%} of "
        f"it orchestration; peak memory {peak:.2f} GiB.",
        result,
    )


if __name__ == "__main__":
    main()
