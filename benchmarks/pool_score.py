"""Scoring a cycle as `score_pool` does it: time and memory from a thousand to a million rows.

    python -m benchmarks.pool_score                       # 1k, 10k, 100k, 1M rows
    python -m benchmarks.pool_score --rows 100000         # one size

Features are synthetic, 768 wide, L2-normalised, in a file as `gather_features` leaves it: a
:class:`coti.core.tensors.TensorBundle`, which is mapped and not read. A cycle fits S_con to X_T,
scores the whole pool (Eq. 7, 8, 11) and takes the best B:

``fit``          fitting the default S_con, a classifier, on 4,000 rows of the pool at most;
``classifier``   scoring with it;
``incremental``  Eq. 8 as printed, the least cosines of the cycle before given: B new images alone;
``hidden head``  the same with an aesthetic head of 64 hidden units instead of an affine one;
``all pairs``    Eq. 8 as printed, compared with the whole X_T.

Times are CPU seconds, threads added up, so that what else the machine does matters little. The ways
take turns, the fastest of the rounds counts. Then |X_T| grows at a fixed pool. Each size runs in a
process of its own. ``peak`` is what is resident at most, the file's pages included,
which the system takes back when it needs them; ``own`` is without them. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from coti.core.tensors import TensorBundle
from coti.loop.fit_scorers import fit_concept_scorer
from coti.loop.state import LoopState
from coti.loop.training_set import TrainingSet
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import ConceptScorer
from coti.scores.features_to_scores import score_candidates
from coti.selection.batch import select_batch
from coti.settings import ConceptScoreSettings, RunSettings

WIDTH, SEEDS = 768, 10
WAYS = ("fit", "classifier", "incremental", "hidden head", "all pairs")


def write_bundle(path: Path, rows: int) -> None:
    """Features of ``rows`` pool images and the seeds, the same for the same number of rows."""
    generator = torch.Generator().manual_seed(rows)
    pool = torch.empty(rows, WIDTH)
    for block in torch.split(pool, 16_384):
        torch.nn.functional.normalize(block.normal_(generator=generator), dim=-1, out=block)
    bundle = TensorBundle({"pool": pool, "seeds": pool[:SEEDS] * 1.0})
    bundle = bundle.with_strings("pool_ids", [f"{row:020d}" for row in range(rows)])
    bundle.with_strings("seed_ids", [f"seed {row}" for row in range(SEEDS)]).save(path)


def measure(path: Path, batch: int, train_size: int, rounds: int) -> dict[str, float]:
    """CPU seconds of one cycle in each way, and GiB."""
    features = TensorBundle.load(path)
    ids = features.strings("pool_ids")
    candidates = torch.ones(len(ids), dtype=torch.bool)
    chosen = ids[SEEDS : SEEDS + train_size - SEEDS]
    state = LoopState(TrainingSet(tuple(features.strings("seed_ids"))).plus(chosen, 1))
    affine = AestheticHead.fresh(WIDTH, seed=0, hidden=None)
    hidden = AestheticHead.fresh(WIDTH, seed=0, hidden=64)
    settings = RunSettings()
    start = time.process_time()
    classifier = fit_concept_scorer(state, features, settings)
    fit = time.process_time() - start

    def cycle(
        head: AestheticHead,
        least: torch.Tensor | None = None,
        concept: ConceptScorer | None = None,
    ) -> torch.Tensor:
        printed = replace(settings, concept_score=ConceptScoreSettings(kind="min_cosine"))
        concept = concept or fit_concept_scorer(state, features, printed)
        joined = chosen[-batch:]
        scores = score_candidates(
            features, head, concept, 4.0, 6.0, 0.3, least=least, joined=joined
        )
        select_batch(scores["s_int"], candidates, batch)
        return scores.get("least_cosine", scores["s_con"])

    before = cycle(affine)
    ways: dict[str, Callable[[], torch.Tensor]] = {
        "classifier": lambda: cycle(affine, concept=classifier),
        "incremental": lambda: cycle(affine, before),
        "hidden head": lambda: cycle(hidden, before),
        "all pairs": lambda: cycle(affine),
    }
    own = max(_own_gib_during(way) for way in ways.values())
    best = {**dict.fromkeys(WAYS, float("inf")), "fit": fit}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            way()
            best[name] = min(best[name], time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {"rows": len(ids), "train_size": train_size, **best, "peak_gib": peak, "own_gib": own}


def _own_gib_during(way: Callable[[], torch.Tensor]) -> float:
    """The most GiB of memory without files' pages, looked at every few milliseconds."""
    seen, done = [_own_gib()], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            seen.append(_own_gib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        way()
    finally:
        done.set()
        watcher.join()
    return max(seen)


def _own_gib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024**2


def _child(*arguments: str) -> str:
    """The last line of this program in a process of its own."""
    child = subprocess.run(
        [*(sys.executable, "-m", "benchmarks.pool_score"), *arguments],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return (child.stdout.splitlines() or [""])[-1]


def main() -> None:
    """Run every size in its own process and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", default="1000,10000,100000,1000000")
    parser.add_argument("--batch", type=int, default=10, help="B")
    parser.add_argument("--train-size", type=int, default=210, help="|X_T|")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--grow", default="60,1010", help="further |X_T| at 100k rows, or at one size"
    )
    parser.add_argument(
        "--folder", default=tempfile.gettempdir(), help="for 3 GB of a million rows"
    )
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write is not None:
        write_bundle(options.file, options.write)
        return
    if options.file is not None:
        found = measure(options.file, options.batch, options.train_size, options.rounds)
        print(json.dumps(found))
        return
    results = []
    print(f"{'rows':>9} {'|X_T|':>6}", *(f"{way:>12}" for way in WAYS), "peak GiB  own GiB")
    common = ["--batch", str(options.batch), "--rounds", str(options.rounds)]
    for rows in (int(part) for part in options.rows.split(",")):
        sizes = [options.train_size]
        if rows == 100_000 or "," not in options.rows:
            sizes += [int(part) for part in options.grow.split(",") if part]
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            file = ["--file", f"{folder}/features.safetensors"]
            _child("--write", str(rows), *file)
            for size in sizes:
                found = json.loads(_child(*file, *common, "--train-size", str(size)))
                results.append(found)
                print(
                    f"{rows:>9} {size:>6}",
                    *(f"{found[way]:>11.4f}s" for way in WAYS),
                    f"{found['peak_gib']:>8.2f} {found['own_gib']:>8.2f}",
                    flush=True,
                )
    summary = {
        "benchmark": "pool_score",
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "batch": options.batch,
        "results": results,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
