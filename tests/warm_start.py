"""Commands in processes of their own that needn't import the libraries again.

The server imports what every command of this project imports, then forks a process a command. The
project's own modules are not among them: each process imports its workspace's. What the commands
do is what they do when a shell starts them, 5 to 10 seconds earlier.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any, NoReturn

# To ZenML, where the checkout of the tests is (tests/conftest.py); workspaces have their own.
CHECKOUT = ("ZENML_REPOSITORY_PATH", "ZENML_CUSTOM_SOURCE_ROOT")

LIBRARIES = (
    "torch",
    "torchvision",
    "diffusers:StableDiffusionPipeline UNet2DConditionModel AutoencoderKL DDIMScheduler",
    "transformers:CLIPTextModel CLIPTokenizer",
    "open_clip",
    "safetensors.torch",
    "pandas",
    "pyarrow.parquet",
    "matplotlib.pyplot",
    "great_expectations",
    "s3fs",
    "boto3",
    "alembic.command",
    "mlflow",
    "mlflow.tracking",
    "mlflow.store.tracking.sqlalchemy_store",
    "zenml",
    "zenml.cli.cli",
    "zenml.client",
    "zenml.zen_stores.sql_zen_store",
    "zenml.log_stores",
    "zenml.pipelines.dynamic.pipeline_definition",
    "zenml.integrations.mlflow.experiment_trackers",
    "zenml.integrations.s3.artifact_stores",
    "zenml.integrations.sklearn.materializers",
    "zenml.integrations.numpy.materializers",
    "zenml.integrations.pandas.materializers",
    "zenml.integrations.pillow.materializers",
    "zenml.integrations.pytorch.materializers",
    "zenml.integrations.scipy.materializers",
    "zenml.execution.pipeline.dynamic.runner",
    "zenml.orchestrators.step_launcher",
    "zenml.orchestrators.step_runner",
    "zenml.log_stores.artifact.artifact_log_exporter",
    "mlflow.store.model_registry.sqlalchemy_store",
    "cleanvision.imagelab",
    "imagehash",
    "pyarrow.dataset",
)
"""Modules, and after a colon names that a module imports when they are asked for."""


class Started:
    """A command that runs."""

    def __init__(self, connection: socket.socket, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self.pid = self.wait(180)

    def wait(self, timeout: float) -> int | None:
        """Its exit code, below zero for a signal; None if it still runs."""
        self._connection.settimeout(timeout)
        try:
            return int(self._connection.recv(8))
        except TimeoutError:
            return None

    def said(self) -> str:
        """What it wrote to its output so far."""
        path = self._folder / "stdout"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int | None:
        """Send the signal to its whole group and wait for its end."""
        assert self.pid is not None
        os.killpg(self.pid, number)
        return self.wait(300)

    def end(self) -> tuple[str, str]:
        """What it wrote to its output and to its errors."""
        self._connection.close()
        said = [self._folder / name for name in ("stdout", "stderr")]
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in said)
        return out, err


def elsewhere(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for commands that look for a checkout of their own, where they are started."""
    return {key: value for key, value in environment.items() if key not in CHECKOUT}


class WarmStart:
    """The server, and how to ask it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # No test's folder: a socket's path may have 107 characters.
        self._socket = folder / "s"
        clean = {key: value for key, value in elsewhere(os.environ).items() if key != "PYTHONPATH"}
        with (folder / "server.log").open("wb") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-W", "ignore", __file__, str(self._socket)],
                cwd=folder,
                env=clean,
                stdout=log,
                stderr=log,
            )
        self._number = 0

    def start(
        self, words: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: str = ""
    ) -> Started:
        """Run ``words``: a script with its arguments, ``-c`` and code, or ``-m`` and a module."""
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        (folder / "stdin").write_text(stdin, encoding="utf-8")
        connection = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 180
        while True:
            with suppress(OSError):
                connection.connect(str(self._socket))
                break
            assert self._server.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        env = elsewhere(env)
        order = {"words": list(words), "cwd": str(cwd), "env": env, "folder": str(folder)}
        connection.sendall(json.dumps(order).encode() + b"\n")
        return Started(connection, folder)

    def run(
        self,
        words: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdin: str = "",
        timeout: float = 900,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``words`` to their end, or kill them when the time is up."""
        started = self.start(words, cwd, env, stdin)
        code = started.wait(timeout)
        if code is None:
            started.kill()
        return subprocess.CompletedProcess(words, -9 if code is None else code, *started.end())

    def stop(self) -> None:
        """End the server and forget what commands said."""
        self._server.terminate()
        self._server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def warm_start() -> WarmStart:
    """This process's server, started when it is first asked for."""
    server = WarmStart(Path(tempfile.mkdtemp(prefix="warm-")))
    atexit.register(server.stop)
    return server


def leave_writing_to_the_system() -> None:
    """SQLite waits for the disk at none of a test's thousands of commits, of 15 ms each.

    Only a machine that loses its power would notice: a killed process loses nothing by it.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def without_waiting(connection: Any, record: object) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous=OFF")


def _import() -> None:
    for line in LIBRARIES:
        module, _, names = line.partition(":")
        found = importlib.import_module(module)
        for name in names.split():
            getattr(found, name)
    leave_writing_to_the_system()


def _serve(path: str) -> dict[str, Any]:
    """Never returns but in a forked process, there with what it has to run."""
    gc.disable()
    _import()
    # What is there stays: a collection in a command would look at each of its objects, and copy the
    # pages that they lie in.
    gc.collect()
    gc.freeze()
    gc.enable()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(16)
    # Ended children vanish.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listening.accept()
        if os.fork():
            connection.close()
            continue
        listening.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        order: dict[str, Any] = json.loads(connection.makefile("r").readline())
        command = os.fork()
        if command:
            with suppress(OSError):
                connection.sendall(f"{command:8}".encode())
                _, status = os.waitpid(command, 0)
                connection.sendall(f"{os.waitstatus_to_exitcode(status):8}".encode())
            os._exit(0)
        connection.close()
        return order


def _run(order: Mapping[str, Any]) -> None:
    """Become the command: its own session, folder, environment, streams and modules."""
    import warnings

    os.setsid()
    folder, words = Path(order["folder"]), order["words"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        how = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(folder / name, how, 0o644), number)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    if order["env"].get("PYTHONWARNINGS") == "default":
        warnings.resetwarnings()
        warnings.simplefilter("default")
    places = [each for each in order["env"].get("PYTHONPATH", "").split(":") if each]
    script = words[0] not in ("-c", "-m")
    sys.path[:0] = [str(Path(words[0]).parent) if script else "", *places]
    sys.argv = list(words) if script else [words[0], *words[2:]]
    if script and (name := Path(words[0]).name) in ("coti", "zenml"):
        with suppress(ModuleNotFoundError):  # the wheel's environment has none
            # What the environment's own file does (ops/stack/local_state.py).
            importlib.import_module("ops.stack.before_zenml").check(name, told=True)
    # No frame of `runpy`: it is frozen, and inspect.stack(), which KFP calls for each variable of
    # each step, searches all modules for the file of one that has none.
    scope = sys.modules["__main__"].__dict__
    if words[0] == "-m":
        spec = importlib.util.find_spec(words[1])
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{words[1]}.__main__")
        assert spec is not None, f"no module named {words[1]}"
        assert spec.loader is not None, f"no module named {words[1]}"
        code = spec.loader.get_code(spec.name)  # type: ignore[attr-defined]
        sys.argv[0] = str(spec.origin)
        scope.update(__spec__=spec, __package__=spec.parent, __file__=spec.origin)
    elif words[0] == "-c":
        code = compile(words[1], "<string>", "exec", dont_inherit=True)
        scope["__file__"] = "<string>"
    else:
        code = compile(Path(words[0]).read_bytes(), words[0], "exec", dont_inherit=True)
        scope["__file__"] = words[0]
    _end(_exit_code(code, scope))


def _exit_code(code: CodeType, scope: dict[str, Any]) -> int:
    """Run it as Python runs a script, to what it would exit with."""
    try:
        exec(code, scope)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return -signal.SIGINT
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """What Python does at its end, but for taking apart every module: 6 s of copied pages."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


if __name__ == "__main__":
    del sys.path[0]
    _run(_serve(sys.argv[1]))
