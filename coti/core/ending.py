"""How a command ends when something else ends it: one sentence, and a code that a shell knows."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
from types import FrameType
from typing import Any, NoReturn

from coti.core.errors import ConfigError, shortened

__all__ = [
    "BROKEN_PIPE",
    "INTERRUPTED",
    "TERMINATED",
    "end_in_a_sentence",
    "open_standard_streams",
    "reader_has_ended",
    "require_current_folder",
    "stopped",
    "system_sentence",
]

INTERRUPTED = 128 + signal.SIGINT
"""Exit code after Ctrl-C, as of a shell's own commands."""
TERMINATED = 128 + signal.SIGTERM
BROKEN_PIPE = 128 + signal.SIGPIPE
"""Whoever read our output has ended: no word, as of other tools."""
_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_OPEN_FILES = (errno.EFBIG, errno.EIO, errno.EISDIR, errno.ESTALE)
"""What a disk or a device says that fails; any other that names no file is no file's fault."""
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


def open_standard_streams() -> None:
    """Input, output and errors that the caller has closed go to and come from nowhere.

    Python leaves None in their place, which libraries write to, and the next file that is opened
    gets their number, which child processes write to.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            stream = open(number, mode, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def reader_has_ended() -> bool:
    """Whether nobody reads this process's output or errors any more."""
    streams = select.poll()
    for number in (1, 2):
        streams.register(number, 0)
    return any(said & (select.POLLERR | select.POLLHUP) for _, said in streams.poll(0))


def require_current_folder() -> None:
    """Raise ConfigError where the folder that the user stands in is gone: relative paths lead
    nowhere, and libraries end in errors of their own.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise ConfigError(
            f"The current folder cannot be used ({error.strerror}): change to another one."
        ) from error


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
        said = shortened(where or " ".join(str(error).split()))
        return f"The disk is full ({said}): free space, then run again."
    if not where and error.errno not in _OF_OPEN_FILES:
        return None
    if not where:
        return (
            f"A file cannot be read or written ({error.strerror}): check the files that you named, "
            "and the disk that they are on."
        )
    remedy = "mend its rights" if error.errno in _RIGHTS else "mend the path"
    return f"{shortened(where)} cannot be used ({error.strerror}): {remedy}, or name another place."
