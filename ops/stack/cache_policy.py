"""What a cached result depends on beside a step's parameters and inputs.

ZenML hashes the step function alone, and steps are thin: without this, editing ``coti`` would
bring back results of the old code. A step's key covers the modules that it imports, directly or
through others, without their comments and docstrings: an edit of a report or of another command
trains nothing again, an edit of the trainer does.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterable
from functools import cache, partial
from pathlib import Path

from zenml.config.cache_policy import CachePolicy

from ops.stack.locations import ROOT
from ops.stack.source_files import Sources

__all__ = ["cached_by", "code_fingerprint", "meaning_of", "modules_of"]

PACKAGES = ("coti", "ops", "steps", "materializers")
LOCK = "requirements.lock"
KNOWN = ".coti/sources.json"
"""What sources were found to say, so that a command parses what was edited alone."""
_ONE_AT_A_TIME = threading.Lock()
"""Steps of several threads ask at once, and `ast` of Python 3.11 fails in several threads."""


def cached_by(module: str) -> CachePolicy:
    """The policy of the cached steps of a module of ``steps``; give it ``__name__``.

    The device's index is a step's input of its own, ``device``, and no part of the key; nor is
    ``review``, whose content is, as ``review_fingerprint``.
    """
    step = module.rpartition(".")[2]
    return CachePolicy.model_validate(
        {
            "include_step_code": False,  # the module's is in the fingerprint
            "cache_func": f"{__name__}.of_{step}",
            "ignored_inputs": ["device", "review"],
        }
    )


def __getattr__(name: str) -> Callable[[], str]:
    """``of_<step>``: ZenML finds the function of a step's policy by this name."""
    if not name.startswith("of_"):
        raise AttributeError(name)
    return partial(code_fingerprint, f"steps.{name.removeprefix('of_')}")


@cache
def code_fingerprint(module: str | None = None) -> str:
    """Hash of sources, the dependency lock and the facts of the machine that change bits.

    The machine's facts are its vector instructions and the number of threads: float32 sums
    depend on both.

    Args:
        module: the sources that it imports; without, all of them.
    """
    import torch

    digest = hashlib.sha256()
    with _ONE_AT_A_TIME:
        digest.update(meaning_of(_every_file() if module is None else modules_of(module)))
        _sources().remember()
    lock = ROOT / LOCK
    if lock.is_file():
        digest.update(lock.read_bytes())
    facts = (torch.__version__, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())
    digest.update(repr(facts).encode())
    return digest.hexdigest()


def meaning_of(paths: Iterable[Path]) -> bytes:
    """Names and sources of files, without what only readers see, to be hashed."""
    return b"".join(
        path.relative_to(ROOT).as_posix().encode() + b"\0" + _sources().read(path).meaning.encode()
        for path in sorted(paths)
    )


def modules_of(module: str, without: Collection[Path] = ()) -> set[Path]:
    """Our source files that a module imports, directly or through others; itself among them.

    Files of ``without`` are left out, with what they alone import.
    """
    found: set[Path] = set()
    waiting = list(_files_of(module))
    while waiting:
        path = waiting.pop()
        if path not in found and path not in without:
            found.add(path)
            waiting += _imported_by(path)
    return found


def _every_file() -> list[Path]:
    return [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


@cache
def _files_of(module: str) -> list[Path]:
    """A module's file, and those of the packages that it lies in; nothing for others' modules."""
    parts = module.split(".")
    found: list[Path] = []
    if parts[0] not in PACKAGES:
        return found
    for count in range(1, len(parts) + 1):
        place = ROOT.joinpath(*parts[:count])
        if (place / "__init__.py").is_file():
            found.append(place / "__init__.py")
        elif place.with_suffix(".py").is_file():
            found.append(place.with_suffix(".py"))
    return found


@cache
def _sources() -> Sources:
    return Sources(ROOT / KNOWN)


@cache
def _imported_by(path: Path) -> list[Path]:
    return [file for name in _sources().read(path).names for file in _files_of(name)]
