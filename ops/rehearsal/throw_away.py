"""A checkout that is thrown away: copied code, links to the rest, a state of its own.

No heavy import is here: what runs in it begins while its parent still imports.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from coti.core.errors import CotiError
from coti.core.whole_files import temporary_folder
from ops.stack.locations import ROOT

__all__ = ["RehearsalError", "Rehearsing", "throw_away_folder"]

_CODE = ("cli", "configs", "coti", "materializers", "ops", "pipelines", "steps")
_OURS = (".git", ".venv", ".zen", ".coti")
"""What is the user's and no part of a run's input."""
_FOREIGN = ("ZENML_", "MLFLOW_TRACKING_")
"""Variables that lead to the user's stack."""


class RehearsalError(CotiError):
    """The rehearsed run did not come to its end; says why."""


@contextmanager
def throw_away_folder() -> Iterator[Path]:
    """A temporary folder for all that a rehearsal makes."""
    with temporary_folder("coti-rehearsal-") as folder:
        yield folder


class Rehearsing:
    """`cli.rehearse_once` in a folder of its own, begun before it is known what it rehearses.

    Meanwhile it imports what a run imports and makes its stack: seconds on another core than the
    checks. What has not ended when the context is left ends then.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checkout = make_checkout(folder / "checkout")
        self._answer = folder / "answer.json"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli.rehearse_once", str(self._answer)],
            cwd=self._checkout,
            env=environment(self._checkout, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def __enter__(self) -> Rehearsing:
        return self

    def end(self) -> None:
        """There is nothing that it should keep."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def __exit__(self, *_: object) -> None:
        self.end()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # an order that nobody read
                    pipe.close()

    def answer(
        self, order: Mapping[str, Any], said: Callable[[str], None] = lambda line: None
    ) -> dict[str, Any]:
        """What it answers to an order.

        Args:
            order: as `cli.rehearse_once` reads it.
            said: is told each line that the run says of itself.

        Raises:
            RehearsalError: it failed, or was killed.
        """
        process, checkout = self._process, self._checkout
        assert process.stdin is not None
        with suppress(OSError):  # it has ended; its last line says why
            process.stdin.write(json.dumps(order))
            process.stdin.close()
        lines = []
        for line in process.stdout or ():
            lines.append(line.rstrip())
            said(_at_home(line.rstrip(), checkout))
        code = process.wait()
        if code:
            raise RehearsalError(_at_home(_why(code, lines), checkout))
        found: dict[str, Any] = json.loads(self._answer.read_text(encoding="utf-8"))
        if "error" in found:
            raise RehearsalError(_at_home(str(found["error"]), checkout))
        return found


def make_checkout(root: Path) -> Path:
    """Copies of the code, with what Python made of it; links to everything that a run may read."""
    root.mkdir(parents=True)
    for path in ROOT.iterdir():
        if path.name in _OURS:
            continue
        if path.name in _CODE:
            shutil.copytree(path, root / path.name)
        elif path.is_file():
            shutil.copy2(path, root / path.name)
        else:
            (root / path.name).symlink_to(path.resolve())
    return root


def environment(checkout: Path, folder: Path) -> Mapping[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **own,
        "PYTHONPATH": os.pathsep.join(paths),
        "ZENML_CONFIG_PATH": str(folder / "zenml"),
        "COTI_LOG_DIR": str(folder / "logs"),
        "NO_COLOR": "1",
    }


def _at_home(text: str, checkout: Path) -> str:
    """Places of the throw-away checkout by the names that they have in the user's."""
    return text.replace(f"{checkout.resolve()}/", "").replace(f"{checkout}/", "")


def _why(code: int, lines: list[str]) -> str:
    """Why the process ended, of what it said last."""
    if code == -signal.SIGKILL:
        return (
            "the rehearsal was killed (SIGKILL), as the system does where memory runs out: take a "
            "smaller train.batch_size or generation.batch_size, or a larger machine."
        )
    last = next((line for line in reversed(lines) if line.strip()), "nothing")
    return f"the rehearsal ended with code {code} after it said: {last}"
