"""How a command ends when something else ends it: one sentence, and a code that a shell knows."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, NoReturn

__all__ = ["INTERRUPTED", "TERMINATED", "end_in_a_sentence", "stopped", "system_sentence"]

INTERRUPTED = 128 + signal.SIGINT
"""Exit code after Ctrl-C, as of a shell's own commands."""
TERMINATED = 128 + signal.SIGTERM
_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PATHS = (
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.ENFILE,
    errno.ENOTDIR,
    errno.ESTALE,
)


def stopped(how: str) -> str:
    """What a command says that was told to stop."""
    return f"Stopped ({how}): the same command goes on from what is kept."


def end_in_a_sentence() -> None:
    """From now on SIGTERM ends this process as Ctrl-C does: cleaned up, said, with its code.

    Whoever handles the signal meanwhile (training saves a checkpoint, then passes it on) comes
    first. A child that was forked, a worker, ends without a word.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    own = os.getpid()

    def end(number: int, frame: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once
        if os.getpid() != own:
            signal.raise_signal(number)
        print(f"Error: {stopped('SIGTERM')}", file=sys.stderr, flush=True)
        sys.exit(TERMINATED)

    signal.signal(signal.SIGTERM, end)


def system_sentence(error: BaseException) -> str | None:
    """What a refusal of the operating system's says to the user; None for any other error.

    >>> system_sentence(OSError(28, "No space left on device", "/x"))
    'The disk is full (/x): free space, then run again.'
    """
    if not isinstance(error, OSError) or error.errno not in (*_RIGHTS, *_FULL, *_PATHS):
        return None
    name: Any = error.filename
    where = os.fsdecode(name) if isinstance(name, (str, bytes)) else ""
    if error.errno in _FULL:
        said = where or " ".join(str(error).split())
        return f"The disk is full ({said}): free space, then run again."
    if not where:
        return None
    remedy = "mend its rights" if error.errno in _RIGHTS else "mend the path"
    return f"{where} cannot be used ({error.strerror}): {remedy}, or name another place."
