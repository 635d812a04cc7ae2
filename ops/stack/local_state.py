"""Give this repository's virtual environment a ZenML state of its own, and its modules.

ZenML keeps its store in the user's home; a demonstration has no business there. A ``.pth`` file in
``.venv`` sets the environment of every Python that starts from it, so that ``zenml`` and ``coti``
agree on the state, whether the environment is activated or not. A variable that the user has set
(a real ZenML server's, say) wins.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from ops.quiet import ENVIRONMENT, ROOT

__all__ = ["environment", "write"]

FILE = "coti_local_state.pth"


def environment(root: Path = ROOT) -> dict[str, str]:
    """The variables that keep all state below the repository's root."""
    return {"ZENML_CONFIG_PATH": str(root / ".coti" / "zenml"), **ENVIRONMENT}


def write(root: Path = ROOT) -> Path:
    """Write the file into the running virtual environment.

    Raises:
        SystemExit: Python does not run in a virtual environment.
    """
    if sys.prefix == sys.base_prefix:
        raise SystemExit("Not in a virtual environment; use `make install`, which makes .venv.")
    path = Path(sysconfig.get_paths()["purelib"]) / FILE
    settings = ", ".join(f"({key!r}, {value!r})" for key, value in environment(root).items())
    # Python runs lines of a .pth file that begin with `import`; any other is a place of modules:
    # the wheel holds coti alone, the ZenML project around it runs from the repository.
    path.write_text(
        f"import os; [os.environ.setdefault(*pair) for pair in ({settings},)]\n{root}\n",
        encoding="utf-8",
    )
    return path


if __name__ == "__main__":
    write()
