"""Where files lie that a setting names, from whatever folder Python was started in."""

from __future__ import annotations

from pathlib import Path

from coti.core.errors import ModelError
from coti.core.file_rules import user_path

__all__ = ["PLACE", "find_file"]

PLACE = Path(__file__).resolve().parents[2]
"""Where this package lies: the checkout, or among installed packages."""
_BUNDLED = "assets/"


def find_file(name: str) -> str:
    """The path of a name: from the current folder on, or in the checkout that coti lies in.

    Addresses, hub ids and names of models are given back as they are.

    Raises:
        ModelError: a bundled file, and coti was installed without them.

    >>> from pathlib import Path
    >>> Path(find_file("assets/models/scorer")).is_dir(), find_file("ViT-L-14")
    (True, 'ViT-L-14')
    """
    if "://" in name:
        return name
    path = user_path(name)
    if path.is_absolute() or path.exists():
        return str(path)
    if (PLACE / path).exists() and (PLACE / _BUNDLED).is_dir():
        return str(PLACE / path)
    if name.startswith(_BUNDLED):
        raise ModelError(
            f"{name} is not here: the bundled models and pool lie in a checkout of the project, "
            "and this coti is the package alone. Name a preset for a model of your own (sd15, sd2, "
            "sdxl), or work from a checkout."
        )
    return name
