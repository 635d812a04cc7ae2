"""Scoring a cycle: seconds and peak memory from a thousand rows to ten million.

    python -m benchmarks.pool_score                            # 1k, 10k, 100k, 1M
    python -m benchmarks.pool_score --rows 10000000 --mapped   # from a file, beyond the memory

Features are synthetic, 768 wide, L2-normalised. A cycle is what ``score_pool`` and
``select_batch`` do after B images joined X_T: Eq. 8's minimum, the aesthetic head, Eq. 11, the
best B. ``incremental`` compares the pool with the B new images in one pass that serves both
scores; ``all pairs`` compares it with the whole X_T, as without a memory of the minimum.
``hidden head`` is incremental with a head of 64 hidden units instead of an affine one. The three
take turns, the fastest of the rounds counts. Then |X_T| grows at a fixed pool: ``incremental`` must
not, ``all pairs`` must. Each size runs in a process of its own, so that the
peak is its own. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import ConceptScorer, least_cosine
from coti.scores.formulas import intelligent_score
from coti.scores.pool_scores import PoolFeatures, rescore, write_features
from coti.selection.batch import select_batch

WIDTH, CHUNK = 768, 16_384


def synthetic(rows: int) -> Iterator[torch.Tensor]:
    """Normalised features, the same for the same number of rows."""
    generator = torch.Generator().manual_seed(rows)
    for first in range(0, rows, CHUNK):
        block = torch.randn(min(CHUNK, rows - first), WIDTH, generator=generator)
        yield torch.nn.functional.normalize(block, dim=-1, out=block)


def peak_memory() -> tuple[float, float]:
    """GiB at most resident, and GiB of them that are not the file's own pages now."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    lines = Path("/proc/self/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    return peak, own / 1024**2


def measure(rows: int, batch: int, train_size: int, rounds: int, mapped: str) -> dict[str, float]:
    """Time one cycle in each way on ``rows`` features."""
    features: PoolFeatures | torch.Tensor
    if mapped:
        if not Path(mapped).exists():
            write_features(mapped, synthetic(rows), rows, WIDTH, half=True)
        features = PoolFeatures(mapped)
    else:
        features = torch.empty(rows, WIDTH)
        place = 0
        for block in synthetic(rows):
            features[place : place + len(block)] = block
            place += len(block)
    chosen = next(synthetic(train_size + 1))[:train_size]
    new, rest = chosen[:batch], chosen[batch:]
    affine = AestheticHead.fresh(WIDTH, seed=0, hidden=None)
    hidden = AestheticHead.fresh(WIDTH, seed=0, hidden=64)
    before, _ = rescore(features, rest[:1], torch.full((rows,), torch.inf), affine)
    candidates = torch.ones(rows, dtype=torch.bool)
    scorer = ConceptScorer("min_cosine", chosen, torch.ones(1), torch.zeros(1))

    def finish(least: torch.Tensor, s_aes: torch.Tensor) -> torch.Tensor:
        s_int = intelligent_score(s_aes, scorer.score_least(least), 4.0, 6.0, 0.3)
        return select_batch(s_int, candidates, batch)

    def incremental() -> None:
        finish(*rescore(features, new, before, affine))

    def hidden_head() -> None:
        finish(*rescore(features, new, before, hidden))

    def all_pairs() -> None:
        if isinstance(features, torch.Tensor):
            finish(least_cosine(features, chosen), affine.score(features))
        else:
            finish(*rescore(features, chosen, torch.full((rows,), torch.inf), affine))

    ways: dict[str, Callable[[], None]] = {
        "incremental": incremental,
        "hidden_head": hidden_head,
        "all_pairs": all_pairs,
    }
    best = dict.fromkeys([*ways, "incremental_cpu"], float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            start, cpu = time.perf_counter(), time.process_time()
            way()
            best[name] = min(best[name], time.perf_counter() - start)
            if name == "incremental":  # what it would take on idle cores, threads added up
                best["incremental_cpu"] = min(best["incremental_cpu"], time.process_time() - cpu)
    peak, own = peak_memory()
    return {"rows": rows, **best, "peak_gib": peak, "own_gib": own}


def _child(arguments: list[str]) -> dict[str, float]:
    """One size in a process of its own, so that its peak of memory is its own."""
    child = subprocess.run(
        [*(sys.executable, "-m", "benchmarks.pool_score"), *arguments],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run every size in its own process and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", default="1000,10000,100000,1000000")
    parser.add_argument("--batch", type=int, default=10, help="B")
    parser.add_argument("--train-size", type=int, default=210, help="|X_T|")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--grow", default="60,210,1010", help="|X_T| to compare at 100k rows or less"
    )
    parser.add_argument("--mapped", action="store_true", help="features in a file, float16")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where that file goes")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        file = str(Path(options.folder) / f"pool_score_{options.one}.safetensors")
        mapped = file if options.mapped else ""
        result = measure(options.one, options.batch, options.train_size, options.rounds, mapped)
        if mapped:
            Path(file).unlink()
        print(json.dumps(result))
        return
    results = []
    print(f"{'rows':>10} {'incremental':>12} {'hidden head':>12} {'all pairs':>12} {'peak GiB':>9}")
    for rows in (int(part) for part in options.rows.split(",")):
        found = _child([*sys.argv[1:], "--one", str(rows)])
        results.append(found)
        print(
            f"{rows:>10} {found['incremental']:>11.4f}s {found['hidden_head']:>11.4f}s "
            f"{found['all_pairs']:>11.4f}s {found['peak_gib']:>9.2f}"
        )
    grown = []
    least = min(int(options.rows.split(",")[-1]), 100_000)
    print(
        f"{'|X_T|':>10} {'incremental':>12} {'hidden head':>12} {'all pairs':>12}   at {least} rows"
    )
    for size in (int(part) for part in options.grow.split(",") if part):
        found = _child([*sys.argv[1:], "--one", str(least), "--train-size", str(size)])
        grown.append({"train_size": size, **found})
        print(
            f"{size:>10} {found['incremental']:>11.4f}s {found['hidden_head']:>11.4f}s "
            f"{found['all_pairs']:>11.4f}s"
        )
    last = results[-1]
    summary = {
        "benchmark": "pool_score",
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "batch": options.batch,
        "train_size": options.train_size,
        "results": results,
        "by_train_size": grown,
        "all_pairs_over_incremental": last["all_pairs"] / last["incremental"],
        "hidden_over_affine": last["hidden_head"] / last["incremental"],
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
