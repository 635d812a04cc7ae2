"""Make the images of docs/using.md by its own commands: `python -m tools.using_images`.

Every command there that writes to ``outputs/using/NAME`` is run as it stands, and what it makes
becomes ``docs/images/using/NAME.png``; where the page has ``<!-- NAME:begin -->``, its table goes
there. Names as arguments make those alone.
"""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from ops.quiet import ROOT

__all__ = ["commands_of", "main", "table_of"]

PAGE = ROOT / "docs" / "using.md"
IMAGES = ROOT / "docs" / "images" / "using"
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


def table_of(scores: Path) -> str:
    """``scores.csv`` as a Markdown table: means over the seeds, with the least and the most."""
    with scores.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["entropy", "largest_share", "expected_share"]
    shown = [key for key in rows[0] if key.startswith("share_")]
    columns += [key for key in shown if any(float(row[key]) >= 0.005 for row in rows)]
    names = [column.removeprefix("share_").replace("_", " ") for column in columns]
    lines = [f"| word | {' | '.join(names)} |", "|---" * (len(columns) + 1) + "|"]
    for label in dict.fromkeys(row["label"] for row in rows):
        cells = []
        for column in columns:
            values = [float(row[column]) for row in rows if row["label"] == label]
            cells.append(f"{mean(values):.2f} ({min(values):.2f}–{max(values):.2f})")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(names: Sequence[str] = ()) -> None:
    """Run the commands and copy their images.

    Raises:
        SystemExit: the page has no command of that name.
    """
    commands = commands_of(PAGE.read_text(encoding="utf-8"))
    unknown = sorted(set(names) - set(commands))
    if unknown:
        raise SystemExit(
            f"{PAGE} has no command for {unknown[0]}: there are {', '.join(commands)}."
        )
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in names or commands:
        words = commands[name]
        print(shlex.join(words), flush=True)
        program = Path(sys.executable).parent / Path(words[0]).name
        subprocess.run([str(program), *words[1:]], cwd=ROOT, check=True)
        folder = ROOT / "outputs" / "using" / name
        text = PAGE.read_text(encoding="utf-8")
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        if begin in text:
            head, rest = text.split(begin)
            table = table_of(folder / "scores.csv")
            PAGE.write_text(f"{head}{begin}{table}{end}{rest.split(end)[1]}", encoding="utf-8")
        else:
            result = next(folder / each for each in RESULTS if (folder / each).is_file())
            shutil.copyfile(result, IMAGES / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
