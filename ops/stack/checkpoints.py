"""Training checkpoints in the artifact store, keyed by what the step was given.

A pod's disk dies with the pod; the artifact store does not.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from zenml import get_step_context
from zenml.client import Client
from zenml.config.step_configurations import Step
from zenml.io import fileio
from zenml.models import StepRunResponse
from zenml.orchestrators import cache_utils

from coti.core import whole_files
from coti.inversion.training_state import NOT_LEARNED
from ops.stack.cache_policy import code_fingerprint

__all__ = ["ArtifactStoreCheckpoint", "ArtifactStoreLatents", "checkpoint_store"]

_NOT_LEARNED = {
    "train": NOT_LEARNED,
    "generation": ("batch_size",),
    "scorer": ("batch_size",),
    "concept_score": ("batch_size",),
}
"""Settings, by their part, that a checkpoint may differ in. How many images are generated
or looked at together changes φ by rounding alone."""
_KNOWN = ("train", "schedule", "token", "seed", "embedding", "pool_images", "seed_images")
"""Parameters and inputs that the training itself names in its checkpoint."""


class ArtifactStoreCheckpoint:
    """One file in the artifact store, whole or not at all."""

    def __init__(self, uri: str, inputs: Mapping[str, str] | None = None) -> None:
        self.uri = uri
        self.inputs = dict(inputs or {})

    def read(self) -> bytes | None:
        """The checkpoint, or None where none was written yet."""
        return read_whole(self.uri)

    def write(self, content: bytes) -> None:
        """Replace the checkpoint; a killed writer leaves the old one."""
        write_whole(self.uri, content)

    def others(self) -> Iterator[bytes]:
        """Checkpoints below other keys: of trainings that did not end."""
        folder, own, file = self.uri.rsplit("/", 2)
        if not fileio.isdir(folder):
            return
        for key in sorted(map(str, fileio.listdir(folder))):
            name = key.rstrip("/").rsplit("/", 1)[-1]
            content = read_whole(f"{folder}/{name}/{file}") if name != own else None
            if content is not None:
                yield content

    def clear(self) -> None:
        """Delete the checkpoint, and what a killed writer left beside it."""
        folder, file = self.uri.rsplit("/", 1)
        for name in map(str, fileio.listdir(folder) if fileio.isdir(folder) else ()):
            if name == file or (name.startswith(f"{file}.") and name.endswith(".part")):
                fileio.remove(f"{folder}/{name}")


class ArtifactStoreLatents:
    """Latents in the artifact store, one file a set of images; whole or not at all."""

    def __init__(self) -> None:
        self.root = f"{Client().active_stack.artifact_store.path}/coti_latents"

    def read(self, key: str) -> bytes | None:
        """The latents, or None."""
        return read_whole(f"{self.root}/{key}.safetensors")

    def write(self, key: str, content: bytes) -> None:
        """Keep latents."""
        write_whole(f"{self.root}/{key}.safetensors", content)


def read_whole(uri: str) -> bytes | None:
    """A file of the artifact store, or None where there is none.

    Raises:
        OSError: the store cannot be reached.
    """
    with _as_os_error(f"{uri} cannot be read"):
        if not fileio.exists(uri):
            return None
        with fileio.open(uri, "rb") as file:
            return bytes(file.read())


def write_whole(uri: str, content: bytes) -> None:
    """Write a file of the artifact store, whole or not at all.

    Raises:
        OSError: the store is full or cannot be reached; the file before is kept.
    """
    with _as_os_error(f"{uri} cannot be written"):
        if "://" not in uri:
            whole_files.write_whole(Path(uri), content)
            return
        # A store's client may end a file that it could not write whole; two may write one at once.
        beside = f"{uri}.{secrets.token_hex(8)}.part"
        try:
            with fileio.open(beside, "wb") as file:
                file.write(content)
            fileio.rename(beside, uri, overwrite=True)
        except BaseException:
            with suppress(Exception):
                fileio.remove(beside)
            raise


@contextmanager
def _as_os_error(said: str) -> Iterator[None]:
    """Each store's client has exceptions of its own."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{said}: {error}") from error


@contextmanager
def checkpoint_store(name: str) -> Iterator[ArtifactStoreCheckpoint]:
    """The running step's checkpoint; removed once the context ends without an error.

    The same inputs, settings, code and weights find it again, anything else does not. Settings
    that change nothing in what is learned may differ: what ran out of memory goes on with less.
    """
    root = Client().active_stack.artifact_store.path
    run = get_step_context().step_run
    place = f"{root}/coti_checkpoints/{name}/{_key_of(run)}"
    store = ArtifactStoreCheckpoint(f"{place}/checkpoint.safetensors", _inputs_of(run))
    yield store
    store.clear()


def _key_of(run: StepRunResponse) -> str:
    """The step's cache key, as if made without the settings of ``_NOT_LEARNED``."""
    config = run.config.model_copy(update={"parameters": _parameters(run)})
    step = Step(spec=run.spec, config=config, step_config_overrides=config)
    return cache_utils.generate_cache_key(
        step=step,
        input_artifacts=run.regular_inputs,
        artifact_store=Client().active_stack.artifact_store,
        project_id=run.project_id,
    )


def _parameters(run: StepRunResponse) -> dict[str, Any]:
    """The step's parameters, the parts of its settings by their names, without ``_NOT_LEARNED``."""
    found: dict[str, Any] = {}
    for name, value in run.config.parameters.items():
        given = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        found |= given if name == "settings" else {name: given}
    for name, left_out in _NOT_LEARNED.items():
        if name in found:
            found[name] = {k: v for k, v in found[name].items() if k not in left_out}
    return found


def _inputs_of(run: StepRunResponse) -> dict[str, str]:
    """By name, what the key is made of: parameters, artifacts, code."""
    named = {"code and lock": code_fingerprint()[:12]}
    for name, value in _parameters(run).items():
        if name in _KNOWN:
            continue
        values = value if isinstance(value, dict) else {"": value}
        named |= {f"{name}.{k}".rstrip("."): str(v) for k, v in values.items()}
    for name, artifacts in run.regular_inputs.items():
        if name not in _KNOWN:
            named[name] = " ".join(a.content_hash or str(a.id) for a in artifacts)[:80]
    return named
