"""Ingest and validate a pool without training anything: what ``coti pool check`` does."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coti.core.errors import ConfigError
from coti.core.fitting import Fit
from coti.core.whole_files import require_writable, write_whole
from coti.pool.examine import examine_pool
from coti.pool.ingest import ingest
from coti.pool.manifest import counts, manifest_hash, read_manifest, write_manifest
from coti.pool.validation import profile
from coti.settings import PoolSettings

__all__ = ["CheckResult", "check_pool", "settings_with"]


@dataclass(frozen=True)
class CheckResult:
    """What a check found."""

    kind: str
    counts: dict[str, int]
    version: str
    """Hash of the manifest."""
    notes: list[str]
    problem: str = ""
    """Why the pool as a whole cannot be used, where it cannot; the report is written anyway."""
    cut: str = ""
    """What cropping costs the accepted images, where it takes much of some."""


def check_pool(
    source: str,
    output: Path,
    settings: PoolSettings,
    resolution: int = 256,
    previous: str | None = None,
    fit: Fit | None = None,
) -> CheckResult:
    """Ingest ``source``, judge it, and write report, manifest, images and results to ``output``.

    Drift is measured against the manifest ``previous``, or else the one that an earlier check
    left in ``output``; images become squares by ``fit``. Raises :class:`PoolError` where nothing
    could be read at all; then nothing is written but what had been fetched.
    """
    require_writable(output)
    last = output / "manifest.parquet"
    if previous is None and last.is_file():
        previous = str(last)
    before = profile(read_manifest(previous)) if previous else None
    ingested = ingest(source, settings, resolution, fit=fit, cache_dir=output)
    found = examine_pool(
        ingested.manifest,
        ingested.pool_images,
        settings,
        source=source,
        kind=ingested.kind,
        notes=ingested.notes,
        fit=fit,
        previous=before,
    )
    validation = found.validation
    write_manifest(validation.manifest, output / "manifest.parquet")
    write_whole(output / "report.html", found.page.encode())
    write_whole(output / "validation.json", json.dumps(validation.result, indent=1).encode())
    return CheckResult(
        ingested.kind,
        counts(validation.manifest),
        manifest_hash(validation.manifest),
        [*ingested.notes, *validation.warnings],
        found.problem,
        found.cut,
    )


def settings_with(changes: Sequence[str], settings: PoolSettings | None = None) -> PoolSettings:
    """The settings, or the default ones, with ``key=value`` changes (``fetch.timeout=5``).

    Raises :class:`ConfigError` for an unknown key or a value of a wrong type.
    """
    settings = settings or PoolSettings()
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"--set {change!r} is not KEY=VALUE, such as min_side=64.")
        settings = _changed(
            settings, key.strip().removeprefix("pool_rules.").split("."), value, key
        )
    return settings


def _changed(settings: Any, keys: list[str], value: str, whole: str) -> Any:
    kinds = typing.get_type_hints(type(settings))
    name = keys[0]
    names = [field.name for field in dataclasses.fields(settings)]
    if name not in names:
        raise ConfigError(f"There is no pool setting {whole!r}: there are {', '.join(names)}.")
    present = getattr(settings, name)
    if dataclasses.is_dataclass(present):
        if len(keys) == 1:
            raise ConfigError(f"The pool setting {whole!r} is a group: name one of its keys.")
        return dataclasses.replace(settings, **{name: _changed(present, keys[1:], value, whole)})
    if len(keys) > 1:
        raise ConfigError(f"There is no pool setting {whole!r}: {name!r} is no group.")
    return dataclasses.replace(settings, **{name: _parse(kinds[name], value, whole)})


def _parse(kind: Any, value: str, whole: str) -> Any:
    from pydantic import TypeAdapter, ValidationError

    given: Any = [part for part in value.split(",") if part] if "tuple" in str(kind) else value
    try:
        return TypeAdapter(kind).validate_python(given)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise ConfigError(f"The pool setting {whole}={value} does not fit: {said}.") from error
