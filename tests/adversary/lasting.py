"""What one input after the other is given to: made once a process, closed when the process ends."""

from __future__ import annotations

import atexit
import tempfile
from contextlib import ExitStack
from pathlib import Path

__all__ = ["lasting", "lasting_folder"]

lasting = ExitStack()
atexit.register(lasting.close)


def lasting_folder() -> Path:
    """A new folder."""
    made = tempfile.TemporaryDirectory(prefix="attack-", ignore_cleanup_errors=True)
    return Path(lasting.enter_context(made))
