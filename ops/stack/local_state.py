"""Give this repository's virtual environment a ZenML state of its own, and its modules.

ZenML keeps its store in the user's home; a demonstration has no business there. A ``.pth`` file in
``.venv`` sets the environment of every Python that starts from it, so that ``zenml`` and ``coti``
agree on the state, whether the environment is activated or not. A variable that the user has set
(a real ZenML server's, say) wins.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from coti.core.whole_files import write_whole
from ops.quiet import ENVIRONMENT, ROOT

__all__ = ["write"]

FILE = "coti_local_state.pth"


def write(root: Path = ROOT) -> Path:
    """Write the file into the running virtual environment.

    Raises:
        SystemExit: Python does not run in a virtual environment.
    """
    if sys.prefix == sys.base_prefix:
        raise SystemExit("Not in a virtual environment; use `make install`, which makes .venv.")
    path = Path(sysconfig.get_paths()["purelib"]) / FILE
    inside = root in Path(sys.prefix).parents
    state = str(Path(os.path.relpath(root, sys.prefix) if inside else root) / ".coti" / "zenml")
    code = (
        "import os, sys",
        f"state = os.path.abspath(os.path.join(sys.prefix, {state!r}))",
        "told = os.environ.setdefault('ZENML_CONFIG_PATH', state) != state",
        f"[os.environ.setdefault(*pair) for pair in {tuple(ENVIRONMENT.items())!r}]",
        "name = os.path.basename(sys.orig_argv[1]) if len(sys.orig_argv) > 1 else ''",
        "before = name in ('coti', 'zenml') and __import__('ops.stack.before_zenml', fromlist='x')",
        "before and before.check(name, told)",
    )
    # Python runs lines of a .pth file that begin with `import`; any other is a place of modules:
    # the wheel holds coti alone, the ZenML project around it runs from the repository. Both are
    # told from the environment's own folder, which moves with the repository.
    place = os.path.relpath(root, path.parent) if inside else str(root)
    write_whole(path, f"{place}\n{'; '.join(code)}\n".encode())
    return path


if __name__ == "__main__":
    write()
