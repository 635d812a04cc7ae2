"""Ctrl-C, SIGTERM, a full disk, unreadable folders, a damaged database: one sentence and a code."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coti.core.ending import system_sentence
from ops.terminal import user_sentence

ROOT = Path(__file__).resolve().parents[2]
SLEEPS = """
import sys, time, click
import coti.commands.main as main
@click.command()
def command():
    print("ready", flush=True)
    time.sleep(60)
main.cli.get_command = lambda context, name: command
main.project().start = lambda: None
sys.argv = ["coti", "command"]
main.main()
"""


@pytest.mark.parametrize(
    ("number", "code", "how"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")],
)
def test_a_command_that_is_told_to_stop(number: signal.Signals, code: int, how: str) -> None:
    """The shell's own code, one line, no traceback."""
    words = [sys.executable, "-c", SLEEPS]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell's background jobs ignore Ctrl-C, and what they start does, too.
    pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(words, cwd=ROOT, **pipes) as started:  # type: ignore[call-overload]
        assert started.stdout.readline() == "ready\n"
        started.send_signal(number)
        said = started.communicate(timeout=60)[1]
    assert started.returncode == code
    line = f"Error: Stopped ({how}): the same command goes on from what is kept."
    assert said.strip() == line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/x"), "/x cannot be used (Permission denied)"),
        (OSError(36, "File name too long", "/x"), "/x cannot be used (File name too long)"),
        (OSError(30, "Read-only file system", "/x"), "/x cannot be used (Read-only file system)"),
        (OSError(28, "No space left on device"), "The disk is full ([Errno 28] No space"),
        (OSError(5, "Input/output error"), "A file cannot be read or written (Input/output"),
        (sqlite3.OperationalError("database or disk is full"), "The disk is full (SQLite: "),
        (sqlite3.DatabaseError("file is not a database"), "A database of ZenML or MLflow is dama"),
        (sqlite3.OperationalError("unable to open database file"), "A database of ZenML or MLflow"),
    ],
)
def test_what_the_disk_refuses_is_one_sentence(error: Exception, said: str) -> None:
    """Also where a library has wrapped it: the disk's own words come first."""
    from mlflow.exceptions import MlflowException

    wrapped = MlflowException("API request failed")
    wrapped.__cause__ = error
    for each in (error, wrapped):
        for mid_run in (True, False):
            found = user_sentence(each, mid_run)
            assert found is not None
            assert found.startswith(said)


@pytest.mark.parametrize(
    "error", [KeyError("x"), FileNotFoundError(2, "x", "/x"), sqlite3.OperationalError("near x")]
)
def test_a_mistake_in_the_program_is_none(error: Exception) -> None:
    """Its traceback is what is wanted."""
    assert user_sentence(error) is None
    assert system_sentence(error) is None


WRITES = """
import sys, click
import coti.commands.main as main
from tqdm import tqdm
@click.command()
def command():
    for _ in tqdm(range(3), disable=None): pass
    tqdm.write("word", file=sys.stderr)
    open("kept", "w").write("whole")
    click.echo("said")
    click.echo("to nobody", err=True)
main.cli.get_command = lambda context, name: command
main.project().start = lambda: None
sys.argv = ["coti", "command"]
main.main()
"""


def _runs(shell: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """``$COMMAND`` in a shell, in an empty folder."""
    (tmp_path / "writes.py").write_text(WRITES)
    folder = tmp_path / "here"
    folder.mkdir()
    command = f"{sys.executable} {tmp_path / 'writes.py'}"
    return subprocess.run(
        ["bash", "-c", shell],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COMMAND": command},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "closed", ["", "<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"]
)
def test_closed_streams_are_nowhere(closed: str, tmp_path: Path) -> None:
    """The command does all it does, and a file of its own gets no number of theirs."""
    done = _runs(f"$COMMAND {closed}", tmp_path)
    assert (done.returncode, (tmp_path / "here" / "kept").read_text()) == (0, "whole")
    assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else "said\n")
    assert "Traceback" not in done.stderr


def test_whoever_reads_the_output_may_end(tmp_path: Path) -> None:
    """As of other tools: SIGPIPE's code, no word."""
    done = _runs("$COMMAND 2>/dev/null | true; exit ${PIPESTATUS[0]}", tmp_path)
    assert (done.returncode, done.stderr) == (141, "")


def test_another_pipe_that_breaks_is_said() -> None:
    """A worker or a server that has ended is no reader that has seen enough: there is a word."""
    script = SLEEPS.replace("time.sleep(60)", "socket.socketpair()[0].sendall(b'x')")
    words = [sys.executable, "-c", script.replace("sys, time", "sys, socket")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: A process or a server that the command talked to has en")
    assert done.stderr.count("\n") == 1


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """It is said before any library looks for it."""
    done = _runs('rmdir "$PWD"; $COMMAND', tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: The current folder cannot be used (No ")
    assert "Traceback" not in done.stderr
