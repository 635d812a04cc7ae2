"""What a store's, a server's or the disk's failure says to the user."""

from __future__ import annotations

from urllib.parse import urlsplit

from coti.core.ending import system_sentence
from coti.core.redaction import redacted, without_login
from ops.stack.databases import sqlite_sentence

__all__ = ["disk_sentence", "storage_sentence"]


def disk_sentence(error: BaseException) -> str | None:
    """One sentence for what the disk, or a database on it, refuses."""
    return system_sentence(error) or sqlite_sentence(error)


def storage_sentence(error: BaseException, mid_run: bool = True) -> str | None:
    """One sentence for a store's or the tracking server's failure.

    Args:
        error: what was raised.
        mid_run: by a pipeline run, which goes on where it was; else by a command, which is repeated
            and takes all that MLflow refuses for an answer to the user.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from requests.exceptions import ConnectionError as NoConnection
    from requests.exceptions import Timeout

    words = redacted(" ".join(str(error).split()))[:160]
    when = " in mid-run" if mid_run else ""
    again = "the same command goes on from where it was." if mid_run else "then repeat the command."
    again = f"`coti stack check` says more; {again}"
    if isinstance(error, (BotoCoreError, ClientError)):
        return f"The object store failed{when} ({type(error).__name__}: {words}). {again}"
    if isinstance(error, MlflowException):
        unheard = _unheard(error)
        if unheard is not None:
            return f"MLflow failed{when} ({unheard}). {again}"
        if not mid_run or "API request" in words or "refused" in words:
            return f"MLflow failed{when} ({words}). {again}"
    if isinstance(error, (NoConnection, Timeout)):
        return f"A server failed{when} ({_unheard(error) or words}). {again}"
    return None


def _unheard(error: BaseException) -> str | None:
    """Which server gave no answer, and the innermost reason; None if it gave one."""
    from requests.exceptions import ConnectionError as NoConnection
    from requests.exceptions import Timeout

    found: BaseException | None = error
    while found is not None and not isinstance(found, (NoConnection, Timeout)):
        found = found.__cause__ or found.__context__
    url = None if found is None or found.request is None else found.request.url
    if found is None or url is None:
        return None
    place = urlsplit(without_login(str(url)))
    why: BaseException = found
    while (inner := why.__cause__ or why.__context__) is not None:
        why = inner
    reason = (why.strerror if isinstance(why, OSError) else None) or type(why).__name__
    return f"{place.scheme}://{place.netloc} does not answer: {reason}"
