"""Content hashes of what a run reads from outside, so that ZenML's cache sees it change."""

from __future__ import annotations

from pathlib import Path

from coti.core.errors import ConfigError
from coti.core.hashes import fingerprint_files
from coti.pool.open_source import fingerprint_source
from coti.settings import PoolSettings
from ops.stack.artifact_store import share_with_pool
from ops.stack.locations import locate

__all__ = ["fingerprint_file", "fingerprint_model", "fingerprint_optional", "fingerprint_pool"]


def fingerprint_model(
    name: str, revision: str | None = None, sha256: str | None = None, config: str | None = None
) -> str:
    """Hash of a model's files; of its name, revision and pin where it lies on a hub or S3.

    Args:
        name: folder, file, hub id or address.
        revision: of the hub; or a file of weights, whose bytes count then.
        sha256: pinned hash.
        config: folder that describes a single file.
    """
    if config is not None and Path(locate(config)).is_dir():
        described = fingerprint_files([Path(locate(config))])
        return f"{fingerprint_model(name, revision, sha256)}+{described}"
    if sha256 is not None:
        return f"{name}@{revision or ''}#{sha256}"
    path = Path(locate(name))
    if path.exists() or path.is_absolute():
        return fingerprint_files([path])
    return f"{name}@{fingerprint_file(revision) if revision else ''}"


def fingerprint_file(name: str) -> str:
    """Hash of a file where ``name`` is one; else the name itself."""
    path = Path(locate(name))
    return fingerprint_files([path]) if path.is_file() else name


def fingerprint_optional(key: str, *names: str | None) -> str:
    """Hash of some files or folders that may be left out.

    Raises:
        ConfigError: one of them does not exist; names the configuration's key.
    """
    fetched = [name for name in names if name is not None and "://" in name]
    paths = [Path(locate(name)) for name in names if name is not None and name not in fetched]
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{key}: {path} does not exist; mend the path in the configuration.")
    # What is fetched is pinned by a hash in the settings.
    return "".join([fingerprint_files(paths) if paths else "", *fetched])


def fingerprint_pool(source: str, rules: PoolSettings) -> str:
    """Hash of a pool's names and bytes; ``rules`` say of which kind it is and where S3 answers."""
    share_with_pool(source, rules.s3_endpoint)
    return fingerprint_source(locate(source), rules)
