"""What of the active stack works, component by component, and what to do about what doesn't."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coti.core.errors import CotiError, StoreError
from coti.core.redaction import redacted, without_login
from coti.core.whole_files import require_writable
from ops.quiet import quiet_terminal
from ops.stack.artifact_store import s3_problem
from ops.stack.check_cluster import look_at_cluster
from ops.stack.check_images import look_at_builder, look_at_engine, look_at_registry
from ops.stack.databases import require_databases
from ops.stack.moved_state import settle
from ops.stack.said import SECONDS, Said, State
from ops.stack.storage_sentence import disk_sentence
from ops.stack.tracker_credentials import share_credentials

__all__ = ["Finding", "check_stack", "store_problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the answer."""

    state: State
    what: str
    """The component: its type and name."""
    said: str
    """What was seen, and the remedy where there is need of one."""


def check_stack(gpu: bool | None = None, only: Container[str] | None = None) -> Iterator[Finding]:
    """Look at ZenML's store and each component of the active stack: the one list of checks.

    Args:
        gpu: whether the cluster must have a GPU node; None: it must unless the stack is local.
        only: kinds of components; None: all.
    """
    try:
        settle()
        require_databases()
    except StoreError as error:
        yield Finding("FAIL", "ZenML store", str(error))
        return
    from zenml.client import Client
    from zenml.stack import StackComponent

    quiet_terminal(again=True)  # ZenML, now imported, would tell of each time that it asks again
    try:
        client = Client()
        url = urlsplit(without_login(client.zen_store.url))
        client.zen_store.get_store_info()
        components = client.active_stack_model.components
    except Exception as error:
        yield Finding("FAIL", "ZenML store", store_problem(error))
        return
    yield Finding("ok", "ZenML store", f"answers at {url.scheme}://{url.netloc}")
    cluster = partial(look_at_cluster, gpu=gpu)
    looks = _LOOKS | {("orchestrator", each): cluster for each in ("kubernetes", "kubeflow")}
    for kind, models in components.items():
        if only is not None and kind.value not in only:
            continue
        model = models[0]
        what = f"{kind.value} {model.name} ({model.flavor_name})"
        look = looks.get((kind.value, model.flavor_name))
        if look is None:
            yield Finding("skip", what, "nothing to look at.")
            continue
        try:
            # Each by itself: ZenML makes the folder of a local store, or fails at it.
            for state, said in look(StackComponent.from_model(model)):
                yield Finding(state, what, said)
        except Exception as error:
            yield Finding("FAIL", what, _unforeseen(error))


def _unforeseen(error: Exception) -> str:
    """An error that nobody foresaw is a finding as well: the check goes on with the next."""
    if said := str(error) if isinstance(error, CotiError) else disk_sentence(error):
        return said
    if isinstance(error, OSError) and error.filename is not None:
        return (
            f"{error.filename} cannot be written ({error.strerror}): mend the path or its rights."
        )
    words = redacted(" ".join(str(error).split()))[:200]
    return f"{type(error).__name__}: {words}; the log file has the rest."


def store_problem(error: Exception) -> str:
    """Why ZenML's store, whose address may hold a password, cannot be used; and the remedy."""
    import requests
    from pydantic import ValidationError
    from zenml.config.global_config import GlobalConfiguration
    from zenml.exceptions import AuthorizationException

    behind: BaseException | None = error
    while behind is not None:
        if said := disk_sentence(behind):
            return said
        behind = behind.__cause__ or behind.__context__
    place = os.environ.get("ZENML_STORE_URL", "")
    if not place:
        with contextlib.suppress(Exception):
            place = GlobalConfiguration().store_configuration.url
    place = redacted(place) or "its address"
    name = type(error).__name__
    if isinstance(error, AuthorizationException):
        return f"{place} refuses the login ({name}): set ZENML_STORE_API_KEY, or `zenml login`."
    cause = error.__cause__ or error.__context__
    if isinstance(cause, requests.RequestException):
        said = f"does not answer ({type(cause).__name__})"
    elif isinstance(error, ValidationError):  # whose words hold the values that it was given
        said = f"cannot be used ({name})"
    else:
        words = " ".join(str(getattr(error, "orig", error)).split())
        said = f"cannot be used ({name}: {redacted(words)[:160]})"
    return (
        f"{place} {said}: start the server, or set ZENML_STORE_URL to its address; without it "
        "ZenML takes the store that it was last connected to."
    )


def _local_store(store: Any) -> Iterator[Said]:
    require_writable(Path(store.path))
    yield "ok", f"{store.path} can be written."


def _s3_store(store: Any) -> Iterator[Said]:
    problem = s3_problem(store)
    if problem is None:
        yield "ok", f"objects below {store.path} can be written, read and deleted."
    else:
        yield "FAIL", problem


def _mlflow(tracker: Any) -> Iterator[Said]:
    import requests
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = str(tracker.get_tracking_uri())
    if uri.startswith("http"):
        share_credentials(tracker)
        host = urlsplit(without_login(uri))
        said = f"{host.scheme}://{host.netloc}"
        try:
            requests.get(f"{uri.rstrip('/')}/health", timeout=SECONDS)
        except requests.RequestException as error:
            why = f"MLflow at {said} does not answer ({type(error).__name__})"
            yield "FAIL", f"{why}: start it, or set MLFLOW_TRACKING_URI and repeat `coti stack up`."
            return
    else:
        said = redacted(uri)
    try:
        MlflowClient(tracking_uri=uri).search_registered_models(max_results=1)
    except MlflowException as error:
        words = redacted(" ".join(str(error).split()))[:160]
        remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        yield "FAIL", f"MLflow at {said} refuses ({words}): {remedy} and repeat `coti stack up`."
        return
    yield "ok", f"{said} answers; experiments and registry can be read."


_LOOKS: dict[tuple[str, str], Callable[[Any], Iterator[Said]]] = {
    ("artifact_store", "local"): _local_store,
    ("artifact_store", "s3"): _s3_store,
    ("experiment_tracker", "mlflow"): _mlflow,
    ("orchestrator", "local_docker"): look_at_engine,
    ("image_builder", "local"): look_at_builder,
    ("container_registry", "default"): look_at_registry,
}
