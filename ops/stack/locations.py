"""Where things lie: relative names in a configuration start at the root of the repository."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ROOT", "locate"]

ROOT = Path(__file__).resolve().parents[2]
"""The root of the repository (ZenML's source root)."""


def locate(name: str) -> str:
    """An absolute path for a name that exists below the root; any other name as it is.

    Hub ids, open_clip model names and ``s3://`` addresses pass through.
    """
    if "://" in name:
        return name
    path = Path(name).expanduser()
    if path.is_absolute():
        return str(path)
    below = ROOT / path
    return str(below) if below.exists() or name.startswith(("assets/", "./", "../")) else name
