"""How far a long piece of work is: a bar on a terminal, in a log a line now and then."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]

SECONDS = 30.0
"""Between two lines of a log, and before the first."""
_LINE = "{desc}: {n_fmt} of {total_fmt}{unit}, {elapsed} so far, about {remaining} left"
_UNKNOWN = "{desc}: {n_fmt}{unit}, {elapsed} so far"


class _Lines(tqdm):  # type: ignore[type-arg]
    """Writes lines where tqdm draws over what it drew."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """A line of how far it is."""
        self.fp.write(f"{self}\n")
        self.fp.flush()

    def close(self) -> None:
        """Nothing is wiped away."""
        self.fp = io.StringIO()
        super().close()


def progress_bar(
    items: Iterable[Any] | None = None,  # to go through; else update() says what is done
    *,
    what: str,  # is being done
    total: int | None = None,
    initial: int = 0,  # done before
    unit: str = "",  # such as " images"
    shown: bool = True,  # nothing at all otherwise
) -> Any:
    """tqdm's own bar, which goes when it is done, or its lines where stderr is no terminal."""
    given: dict[str, Any] = {"desc": what, "total": total, "initial": initial, "unit": unit}
    if sys.stderr.isatty() or not shown:
        given["unit"] = unit or "it"
        return tqdm(items, leave=False, disable=not shown, **given)
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    form = _UNKNOWN if total is None else _LINE
    return _Lines(items, mininterval=SECONDS, delay=SECONDS, bar_format=form, **given)
