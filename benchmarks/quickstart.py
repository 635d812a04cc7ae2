"""The quickstart, itemised: where its seconds go, and what it reaches over several seeds.

    python -m benchmarks.quickstart [--seeds 0 1 2] [--strategies coti random] [--config FILE]

Runs the real pipeline in this process with the cache off, one run a seed and strategy; a baseline
may take as many training steps as all of COTI's cycles together. The functions behind the
steps are timed from inside; what remains of the wall clock is orchestration: ZenML, MLflow and
Great Expectations, their imports included. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import wraps
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from coti.selection import STRATEGIES

TRACKING = ("track_cycle", "register_embedding")
VALIDATION = ("validate_pool",)
ENTRYPOINT = "entrypoint"
"""Where ZenML keeps the function behind a step."""


def _timed(
    name: str, function: Callable[..., Any], seconds: dict[str, float]
) -> Callable[..., Any]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[name] += time.perf_counter() - started

    return run


def _start(config: Any) -> dict[str, Any]:
    """The judge's metrics before any training."""
    from coti.core.images import read_image_folder
    from coti.core.seeding import derived_seed
    from coti.generation.fixed_noise import generate_fixed
    from coti.inversion.adapters.embedding import Embedding
    from coti.metrics.judge import embed_references, judge_images
    from ops.stack.loaded_models import judge_of, located_token, text_to_image
    from ops.stack.locations import locate

    model = text_to_image(config.model)
    settings = config.evaluation
    judge = judge_of(settings)
    images = read_image_folder(locate(config.references), model.resolution)[1]
    references = embed_references(judge, config.concept, images, settings)
    seed = derived_seed(config.seed, "initializer")
    embedding = Embedding.initial(model, located_token(config.token), seed, config.concept)
    generated = generate_fixed(
        model, embedding, config.generation, config.generation.cycle_images, config.seed, "cycle"
    )
    return judge_images(judge, generated.images, references, config.concept, settings, config.seed)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--strategies", nargs="+", default=["coti"], choices=STRATEGIES.names())
    parser.add_argument("--config", type=Path, default=None)
    arguments = parser.parse_args()

    began = time.perf_counter()
    import diffusers  # noqa: F401
    import open_clip  # noqa: F401
    import torch
    import transformers  # noqa: F401

    method_imports = time.perf_counter() - began
    from ops.quiet import quiet_terminal

    quiet_terminal()
    from ops.run_file import load_settings
    from pipelines.concept import STEPS, coti_concept

    quiet_terminal(again=True)
    imports = time.perf_counter() - began
    config = load_settings(arguments.config)
    runs = []
    for strategy, seed in product(arguments.strategies, arguments.seeds):
        seconds: dict[str, float] = defaultdict(float)
        originals = {step: type(step).entrypoint for step in STEPS}
        for step, function in originals.items():
            setattr(type(step), ENTRYPOINT, staticmethod(_timed(step.name, function, seconds)))
        chosen = replace(config, seed=seed, strategy=strategy)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "run.yaml"
            import yaml

            values = {"parameters": {"config": json.loads(json.dumps(asdict(chosen)))}}
            path.write_text(yaml.safe_dump(values), encoding="utf-8")
            started = time.perf_counter()
            coti_concept.with_options(config_path=str(path), enable_cache=False)()
            wall = time.perf_counter() - started
        for step, function in originals.items():
            setattr(type(step), ENTRYPOINT, staticmethod(function))
        runs.append(_summary(chosen, seed, wall, dict(seconds), imports, method_imports))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory {peak:.2f} GiB, {torch.get_num_threads()} threads")
    print(json.dumps({"peak_gib": round(peak, 2), "runs": runs}))


def _summary(
    config: Any,
    seed: int,
    wall: float,
    seconds: dict[str, float],
    imports: float,
    method_imports: float,
) -> dict[str, Any]:
    import csv

    from ops.stack.locations import ROOT

    folder = (ROOT / config.output / "latest").resolve()
    with (folder / "cycles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    best = max(rows, key=lambda row: float(row["phi_ref"]))
    start = _start(config)
    total = wall + imports
    tracking = sum(seconds.get(name, 0.0) for name in TRACKING)
    validation = sum(seconds.get(name, 0.0) for name in VALIDATION)
    method = sum(seconds.values()) - tracking - validation + method_imports
    orchestration = total - method
    print(f"\n{config.strategy}, seed {seed}: {total:.0f} s from process start,", end=" ")
    print(f"{method_imports:.0f} s of it imports")
    for name, value in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"  {name:28s} {value:7.1f} s")
    print(f"  {'ZenML (the rest)':28s} {orchestration - tracking - validation:7.1f} s")
    print(f"  orchestration: {orchestration:.1f} s, {orchestration / total:.1%} of the whole")
    print(
        f"  fd_judge {start['fd_judge']:.4g} -> {float(best['fd_judge']):.4g}, "
        f"R-precision {start['r_precision']:.3f} -> {float(best['r_precision']):.3f}, "
        f"selection precision {best['selection_precision']}"
    )
    return {
        "strategy": config.strategy,
        "seed": seed,
        "seconds": round(total, 1),
        "orchestration_share": round(orchestration / total, 4),
        "steps": {name: round(value, 2) for name, value in seconds.items()},
        "start": {"fd_judge": start["fd_judge"], "r_precision": start["r_precision"]},
        "best": {
            key: float(best[key]) if best[key] else None
            for key in ("cycle", "fd_judge", "kid", "r_precision", "selection_precision", "phi_ref")
        },
    }


if __name__ == "__main__":
    main()
