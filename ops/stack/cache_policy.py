"""What a cached result depends on beside a step's own source, parameters and inputs.

ZenML hashes the step function alone, and steps are thin: without this, editing ``coti`` would
bring back results of the old code.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

from zenml.config.cache_policy import CachePolicy

from ops.stack.locations import ROOT

__all__ = ["CACHE_POLICY", "code_fingerprint"]

PACKAGES = ("coti", "ops", "steps", "materializers")
LOCK = "requirements.lock"
REPORTS = (
    "coti/report",
    "coti/experiments",
    "ops/tracking/run_report.py",
    "steps/track_cell.py",
    "steps/write_outputs.py",
    "steps/write_results.py",
)
"""What steps that are never cached write for readers: no cached result depends on it, so a plot
can be mended without training again."""


@cache
def code_fingerprint() -> str:
    """Hash of our sources, the dependency lock and the facts of the machine that change bits.

    The machine's facts are its vector instructions and the number of threads: float32 sums
    depend on both.
    """
    import torch

    digest = hashlib.sha256()
    files = [path for package in PACKAGES for path in _sources(ROOT / package)]
    files = [path for path in files if not _is_report(path)]
    lock = ROOT / LOCK
    if lock.is_file():
        files.append(lock)
    for path in sorted(files):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    facts = (torch.__version__, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())
    digest.update(repr(facts).encode())
    digest.update(os.environ.get("CUDA_VISIBLE_DEVICES", "").encode())
    return digest.hexdigest()


def _sources(folder: Path) -> list[Path]:
    suffixes = {".py", ".html", ".j2", ".css"}
    return [path for path in folder.rglob("*") if path.suffix in suffixes]


def _is_report(path: Path) -> bool:
    return f"{path.relative_to(ROOT).as_posix()}/".startswith(tuple(f"{r}/" for r in REPORTS))


CACHE_POLICY = CachePolicy.model_validate({"cache_func": "ops.stack.cache_policy.code_fingerprint"})
"""For every step whose result may come from the cache."""
