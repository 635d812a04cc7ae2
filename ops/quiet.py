"""What a user's terminal shows: our lines. Everybody else's go to a log file."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from coti.core.ending import open_standard_streams
from coti.core.redaction import RedactingFormatter
from coti.core.whole_files import private_folder

__all__ = ["log_file", "quiet_terminal"]

ROOT = Path(__file__).resolve().parent.parent
NOISY = ("zenml", "mlflow", "alembic", "great_expectations", "transformers", "diffusers", "")
"""Loggers whose console handlers are taken away; the last is the root."""
ELSEWHERE = ("zenml.orchestrators.local_docker", "zenml.integrations.kubernetes.kube_utils")
"""Loggers that pass on what a run in a container or pod prints: that is meant for the user."""

ENVIRONMENT = {
    # Shards of a mapped step that run at once on this machine; each of them uses all cores.
    "ZENML_DYNAMIC_PIPELINE_WORKER_COUNT": str(min(4, max(2, os.cpu_count() or 1))),
    "ZENML_PARAMETER_SIZE_THRESHOLD": "-1",
    # Step runs that a run remembers. ZenML 0.98 remembers 100; when looking up one of a step's
    # inputs pushes out another, the run ends with "No step … found in current run".
    "ZENML_EXECUTION_CONTEXT_STEP_RUN_CACHE_SIZE": "10000",
    "ZENML_ANALYTICS_OPT_IN": "false",
    "ZENML_DISABLE_STEP_NAMES_IN_LOGS": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "DO_NOT_TRACK": "true",
    # Waiting threads sleep: spinning ones stall everything on a machine that others use, too.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}

_log_file: Path | None = None


def log_file() -> Path | None:
    """The file that library noise of this process goes to; none before :func:`quiet_terminal`."""
    return _log_file


def quiet_terminal(again: bool = False) -> Path:
    """Send what libraries log to ``.coti/logs``, with tracebacks; their warnings, too.

    Args:
        again: take away handlers that a library has put back since.
    """
    global _log_file
    open_standard_streams()
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    if _log_file is not None:
        if again:
            _remove_consoles()
        return _log_file
    folder = Path(os.environ.get("COTI_LOG_DIR", ROOT / ".coti" / "logs"))
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    _log_file = folder / f"{stamp}-{os.getpid()}.log"
    # A disk that is full or may not be written is told once, by whoever needs it, not by each line.
    logging.raiseExceptions = False
    handler: logging.Handler = logging.NullHandler()
    with suppress(OSError):
        if folder.parent == ROOT / ".coti":
            private_folder(folder.parent)
        folder.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(_log_file, encoding="utf-8")
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    _remove_consoles()
    shown = logging.StreamHandler(sys.stdout)
    shown.setFormatter(RedactingFormatter("%(message)s"))
    for name in ELSEWHERE:
        logging.getLogger(name).addHandler(shown)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    # passlib, under ZenML's store, says so before ZenML's own console handler is taken away.
    warnings.filterwarnings("ignore", message="'crypt' is deprecated", category=DeprecationWarning)
    return _log_file


def _remove_consoles() -> None:
    for name in NOISY:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if type(handler) is logging.StreamHandler or "Console" in type(handler).__name__:
                logger.removeHandler(handler)
