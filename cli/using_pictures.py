"""Make the pictures of docs/using.md by its own commands: `python -m cli.using_pictures`.

Every command there that writes to ``outputs/using/NAME`` is run as it stands, and what it draws
becomes ``docs/images/using/NAME.png``. Names as arguments make those alone.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cli.quiet import ROOT

__all__ = ["commands_of", "main"]

PAGE = ROOT / "docs" / "using.md"
PICTURES = ROOT / "docs" / "images" / "using"
RESULTS = ("distortion_editability.png", "contact_sheet.png")
"""What a command leaves, the first that there is."""
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_OUTPUT = re.compile(r"--output (outputs/using/([\w-]+))")


def commands_of(page: str) -> dict[str, list[str]]:
    """Name of the output folder to the words of the command that writes it."""
    found = {}
    for block in _BLOCK.findall(page):
        for line in block.replace("\\\n", " ").splitlines():
            match = _OUTPUT.search(line)
            if match:
                found[match[2]] = shlex.split(line)
    return found


def main(names: Sequence[str] = ()) -> None:
    """Run the commands and copy their pictures.

    Raises:
        SystemExit: the page has no command of that name.
    """
    commands = commands_of(PAGE.read_text(encoding="utf-8"))
    unknown = sorted(set(names) - set(commands))
    if unknown:
        raise SystemExit(
            f"{PAGE} has no command for {unknown[0]}: there are {', '.join(commands)}."
        )
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in names or commands:
        words = commands[name]
        print(shlex.join(words), flush=True)
        program = Path(sys.executable).parent / Path(words[0]).name
        subprocess.run([str(program), *words[1:]], cwd=ROOT, check=True)
        folder = ROOT / "outputs" / "using" / name
        result = next(folder / each for each in RESULTS if (folder / each).is_file())
        shutil.copyfile(result, PICTURES / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
