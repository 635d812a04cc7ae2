"""Where things lie: relative names in a configuration start at the root of the repository."""

from __future__ import annotations

from pathlib import Path

from coti.core.errors import ConfigError, StoreError
from coti.core.file_rules import user_path
from coti.core.whole_files import plain_name, refuse_foreign, require_writable

__all__ = ["LATEST", "ROOT", "locate", "require_run_folder", "run_folder"]

ROOT = Path(__file__).resolve().parents[2]
"""The root of the repository (ZenML's source root)."""
LATEST = "latest"
"""The link beside the runs' folders that names the newest."""


def locate(name: str) -> str:
    """An absolute path for a name that exists below the root; any other name as it is.

    Hub ids, open_clip model names and ``s3://`` addresses pass through.
    """
    if "://" in name:
        return name
    path = user_path(name)
    if path.is_absolute():
        return str(path)
    below = ROOT / path
    return str(below) if below.exists() or name.startswith(("assets/", "./", "../")) else name


def run_folder(output: str, run: str) -> Path:
    """Where a run's outputs go.

    Args:
        output: of the run's settings.
        run: the pipeline run's name.

    Raises:
        ConfigError: the name leads elsewhere, or is the link's.
    """
    if plain_name(run, "run_name").casefold() == LATEST:
        raise ConfigError(f"run_name {run!r} is the link to the newest run: choose another name.")
    return (ROOT / output).resolve() / run


def require_run_folder(output: str, run: str) -> None:
    """Before anything is computed: a run's outputs can be written, over nothing of the user's.

    Raises:
        ConfigError: the run's name cannot be a folder's.
        StoreError: the folder, or the link beside it, is there already and is not ours; or the
            place cannot be written.
    """
    folder = run_folder(output, run)
    refuse_foreign(folder)
    link = folder.with_name(LATEST)
    if link.exists() and not link.is_symlink():
        raise StoreError(f"{link} is no link of ours: move it away, or choose another `output`.")
    require_writable(folder.parent)
