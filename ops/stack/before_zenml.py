"""What `.venv`'s own file runs before the commands `zenml` and `coti`.

ZenML opens its store before any line of ours: one that is another repository's would be written
to, one that is damaged or a newer version's would be a page of traceback.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from coti.core.errors import CotiError, StoreError
from ops.quiet import ROOT
from ops.stack.moved_state import require_state

__all__ = ["check"]


def check(command: str, told: bool) -> None:
    """End the process with one sentence where the command would use what is not its own.

    Args:
        command: ``zenml``, or ``coti``, which looks at the state itself where it needs it.
        told: whether the user has named ZenML's state in the environment.
    """
    try:
        if not told:
            _require_own_folder(Path.cwd())
        if command == "zenml":
            require_state()
    except CotiError as error:
        print(f"Error: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # a file of `site`'s cannot raise
    except OSError:
        pass  # a folder that is gone or closed: the command will say so
    # The command's own, which may lie elsewhere (`PYTHONPATH`), come after this.
    for name in [name for name in sys.modules if name.partition(".")[0] in ("coti", "ops")]:
        del sys.modules[name]


def _require_own_folder(here: Path) -> None:
    """A copied environment runs where it was made: there would be the state, and the code."""
    for folder in (here, *here.parents):
        if (folder / "coti_concept.py").is_file():
            if folder.resolve() != ROOT:
                raise StoreError(
                    f"this command is that of {ROOT} and would use the state there, not that of "
                    f"{folder}: `make install` in {folder} gives it commands of its own."
                )
            return
