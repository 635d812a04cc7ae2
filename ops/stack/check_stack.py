"""What of the active stack works, component by component, and what to do about what doesn't."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ops.quiet import quiet_terminal
from ops.stack.artifact_store import s3_problem

__all__ = ["Finding", "check_stack", "store_problem"]

_SECONDS = 5
_NAME_AND_WORD = re.compile(r"://\S*@")
_DOCKER_HUB = "registry-1.docker.io"
_REALM = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Finding:
    """One line of the answer."""

    state: Literal["ok", "FAIL", "skip"]
    what: str
    """The component: its type and name."""
    said: str
    """What was seen, and the remedy where there is need of one."""


def check_stack(gpu: bool | None = None) -> Iterator[Finding]:
    """Look at ZenML's store and each component of the active stack.

    Args:
        gpu: whether the cluster must have a GPU node; None: it must unless the stack is local.
    """
    from zenml.client import Client
    from zenml.stack import StackComponent

    quiet_terminal(again=True)  # ZenML, now imported, would tell of each time that it asks again
    try:
        client = Client()
        url = urlsplit(client.zen_store.url)
        client.zen_store.get_store_info()
        components = client.active_stack_model.components
    except Exception as error:
        yield Finding("FAIL", "ZenML store", store_problem(error))
        return
    yield Finding("ok", "ZenML store", f"answers at {url.scheme}://{url.hostname or ''}")
    for kind, models in components.items():
        model = models[0]
        what = f"{kind.value} {model.name} ({model.flavor_name})"
        look = _CHECKS.get((kind.value, model.flavor_name))
        if look is None:
            yield Finding("skip", what, "nothing to look at.")
            continue
        with _as_finding(what) as found:
            # Each by itself: ZenML makes the folder of a local store, or fails at it.
            found.extend(look(StackComponent.from_model(model), gpu))
        for state, said in found:
            yield Finding(state, what, said)


Said = tuple[Literal["ok", "FAIL", "skip"], str]


@contextlib.contextmanager
def _as_finding(what: str) -> Iterator[list[Said]]:
    """An error that nobody foresaw is a finding as well: the check goes on with the next."""
    found: list[Said] = []
    try:
        yield found
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        said = f"{type(error).__name__}: {words}; the log file has the rest."
        if isinstance(error, OSError) and error.filename:
            said = f"{error.filename} cannot be written ({error.strerror}): mend path or rights."
        found.append(("FAIL", said))


def store_problem(error: Exception) -> str:
    """Why ZenML's store, whose address may hold a password, cannot be used; and the remedy."""
    import requests
    from pydantic import ValidationError
    from zenml.config.global_config import GlobalConfiguration
    from zenml.exceptions import AuthorizationException

    place = os.environ.get("ZENML_STORE_URL", "")
    if not place:
        with contextlib.suppress(Exception):
            place = GlobalConfiguration().store_configuration.url
    place = _NAME_AND_WORD.sub("://", place) or "its address"
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
        said = f"cannot be used ({name}: {_NAME_AND_WORD.sub('://', words)[:160]})"
    return (
        f"{place} {said}: start the server, or set ZENML_STORE_URL to its address; without it "
        "ZenML takes the store that it was last connected to."
    )


def _local_store(store: Any, gpu: bool | None) -> Iterator[Said]:
    path = Path(store.path)
    probe = path / f".coti-check-{uuid.uuid4().hex}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        yield (
            "FAIL",
            f"{path} cannot be written ({error.strerror}): free space, or mend its rights.",
        )
        return
    yield "ok", f"{path} can be written."


def _s3_store(store: Any, gpu: bool | None) -> Iterator[Said]:
    problem = s3_problem(store)
    if problem is None:
        yield "ok", f"objects below {store.path} can be written, read and deleted."
    else:
        yield "FAIL", problem


def _mlflow(tracker: Any, gpu: bool | None) -> Iterator[Said]:
    import requests
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = str(tracker.get_tracking_uri())
    if uri.startswith("http"):
        tracker.configure_mlflow()
        host = urlsplit(uri)
        said = f"{host.scheme}://{host.hostname}:{host.port or ''}"
        try:
            requests.get(f"{uri.rstrip('/')}/health", timeout=_SECONDS)
        except requests.RequestException as error:
            yield (
                "FAIL",
                (
                    f"MLflow at {said} does not answer ({type(error).__name__}): start it, or set "
                    "MLFLOW_TRACKING_URI and repeat `coti stack up`."
                ),
            )
            return
    else:
        said = _without_password(uri)
    try:
        MlflowClient(tracking_uri=uri).search_registered_models(max_results=1)
    except MlflowException as error:
        words = " ".join(str(error).split())[:160]
        yield (
            "FAIL",
            (
                f"MLflow at {said} refuses ({words}): set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD and repeat `coti stack up`."
            ),
        )
        return
    yield "ok", f"{said} answers; experiments and registry can be read."


def _without_password(uri: str) -> str:
    """A database's address as it may be printed."""
    parts = urlsplit(uri)
    return uri.replace(f":{parts.password}@", "@") if parts.password else uri


def _builder(component: Any, gpu: bool | None) -> Iterator[Said]:
    """The local image builder needs an engine only where ZenML itself builds.

    The image is looked for where it is run from: by the orchestrator's or the registry's check.
    """
    state, said = next(_engine())
    if state == "FAIL":
        yield "skip", "no Docker engine answers; run files with `skip_build` need none."
    else:
        yield state, said


def _registry(component: Any, gpu: bool | None) -> Iterator[Said]:
    """Ask the registry for the images that the run files name."""
    names = dict.fromkeys(filter(None, map(os.environ.get, ("COTI_IMAGE", "COTI_CPU_IMAGE"))))
    if not names:
        yield "skip", "COTI_IMAGE is not set: no image was looked for."
    for name in names:
        yield _pushed(name)


def _pushed(image: str) -> Said:
    import requests

    host, _, rest = image.partition("/")
    if not rest or not ("." in host or ":" in host or host == "localhost"):
        return "skip", f"{image} names no registry: nothing was asked."
    path, _, digest = rest.partition("@")
    path, _, tag = path.partition(":")
    local = host.split(":")[0] in ("localhost", "127.0.0.1")
    server = _DOCKER_HUB if host in ("docker.io", "index.docker.io") else host
    url = f"http{'' if local else 's'}://{server}/v2/{path}/manifests/{digest or tag or 'latest'}"
    headers = {
        "Accept": "application/vnd.oci.image.index.v1+json, "
        "application/vnd.oci.image.manifest.v1+json, "
        "application/vnd.docker.distribution.manifest.list.v2+json, "
        "application/vnd.docker.distribution.manifest.v2+json"
    }
    why = "it is forbidden"
    try:
        answer = requests.head(url, headers=headers, timeout=_SECONDS)
        if answer.status_code == 401:
            token, why = _anonymous_token(answer.headers.get("WWW-Authenticate", ""), path)
            if token:
                headers["Authorization"] = f"Bearer {token}"
                answer = requests.head(url, headers=headers, timeout=_SECONDS)
    except requests.RequestException as error:
        said = f"the registry {host} does not answer ({type(error).__name__}): mend COTI_REGISTRY."
        return "FAIL", said
    if answer.status_code == 200:
        return "ok", f"image {image} is there."
    if answer.status_code == 404:
        build = "`docker build -f k8s/Dockerfile .`, then `docker push`"
        return "FAIL", f"image {image} is not there: build and push it, {build}."
    if answer.status_code in (401, 403):
        return "skip", (
            f"{host} asks for a login, which this check does not have ({why}): "
            f"{image} is private, or there is no such repository."
        )
    return "FAIL", f"{host} answered {answer.status_code} for {image}: look at the registry's log."


def _anonymous_token(challenge: str, path: str) -> tuple[str, str]:
    """The token that a registry gives to everybody who wants to read public images.

    Args:
        challenge: of the registry's 401, ``Bearer realm="…",service="…",scope="…"``.
        path: of the image, for a challenge without a scope.

    Returns:
        It, or nothing; and the reason for a refusal, should there be one.
    """
    import requests

    asked = dict(_REALM.findall(challenge))
    realm = asked.pop("realm", "")
    if not challenge.lower().startswith("bearer ") or not realm.startswith(("http://", "https://")):
        return "", "it gives no tokens to everybody"
    wanted = {"scope": f"repository:{path}:pull"}
    wanted |= {key: asked[key] for key in ("service", "scope") if key in asked}
    host = urlsplit(realm).netloc
    try:
        answer = requests.get(realm, params=wanted, timeout=_SECONDS)
        if answer.status_code != 200:
            return "", f"{host} answered {answer.status_code} without one"
        given = answer.json()
        token = given.get("token") or given.get("access_token") or ""
    except (requests.RequestException, ValueError, AttributeError) as error:
        return "", f"{host} gave no token, {type(error).__name__}"
    return str(token), "a token for everybody does not open it"


def _docker(component: Any, gpu: bool | None) -> Iterator[Said]:
    yield from _engine(os.environ.get("COTI_IMAGE", ""))


def _engine(image: str | None = None) -> Iterator[Said]:
    """Whether an engine answers, and has an image; None: none is wanted."""
    import docker
    from docker.errors import DockerException, ImageNotFound

    try:
        engine = docker.from_env(timeout=_SECONDS)
    except DockerException as error:
        yield _no_engine(error)
        return
    with contextlib.closing(engine):
        try:
            version = engine.version()["Version"]
        except DockerException as error:
            yield _no_engine(error)
            return
        yield "ok", f"Docker engine {version} answers."
        if not image:
            if image is not None:
                yield "skip", "COTI_IMAGE is not set: no image was looked for."
            return
        try:
            engine.images.get(image)
        except ImageNotFound:
            build = "build it, `docker build -f k8s/Dockerfile .`"
            yield "FAIL", f"image {image} is not there: {build}"
        else:
            yield "ok", f"image {image} is there."


def _no_engine(error: Exception) -> Said:
    return (
        "FAIL",
        f"no Docker engine answers ({type(error).__name__}): start one, or set DOCKER_HOST.",
    )


def _kubernetes(orchestrator: Any, gpu: bool | None) -> Iterator[Said]:
    from kubernetes import client as k8s
    from kubernetes import config as k8s_config
    from kubernetes.client.rest import ApiException
    from urllib3.exceptions import HTTPError

    settings = orchestrator.config
    namespace = getattr(settings, "kubernetes_namespace", None) or settings.kubeflow_namespace
    context = settings.kubernetes_context
    # ZenML's Kubeflow orchestrator has no such setting: there a pod's own identity is used where
    # no context is named.
    inside = getattr(settings, "incluster", not context and "KUBERNETES_SERVICE_HOST" in os.environ)
    try:
        if inside:
            configuration = k8s.Configuration()
            k8s_config.load_incluster_config(client_configuration=configuration)
            api = k8s.ApiClient(configuration)
        else:
            api = k8s_config.new_client_from_config(context=context)
    except k8s_config.ConfigException as error:
        said = f"no Kubernetes context {context or 'that is current'}"
        remedy = "set KUBECONFIG and COTI_KUBERNETES_CONTEXT"
        if inside:
            said, remedy = "this is no pod of the cluster", "unset COTI_INCLUSTER, set KUBECONFIG"
        yield "FAIL", f"{said} ({error}): {remedy} and repeat `coti stack up`."
        return
    core = k8s.CoreV1Api(api)
    try:
        core.read_namespace(namespace, _request_timeout=_SECONDS)
        yield "ok", f"the cluster answers and has the namespace {namespace!r}."
        nodes = core.list_node(_request_timeout=_SECONDS).items
    except ApiException as error:
        if error.status == 404:
            yield "FAIL", f"no namespace {namespace!r}: `kubectl apply -k k8s/overlays/gpu`."
        elif error.status == 403 and inside:
            yield "skip", "the cluster answers; this pod may not look at namespaces and nodes."
        else:
            yield "FAIL", f"the cluster refuses ({error.status} {error.reason}): mend your rights."
        return
    except (HTTPError, OSError) as error:
        yield "FAIL", f"the cluster does not answer ({type(error).__name__}): check KUBECONFIG."
        return
    gpus = sum(int((node.status.allocatable or {}).get("nvidia.com/gpu", 0)) for node in nodes)
    if gpus:
        yield "ok", f"{gpus} GPUs on {len(nodes)} nodes."
    elif gpu is False:
        yield "skip", "no GPU node, none is wanted."
    else:
        yield (
            "FAIL",
            (
                "no node offers nvidia.com/gpu: add a GPU node and NVIDIA's device plugin, or use "
                "configs/kubernetes_cpu.yaml and check with --no-gpu."
            ),
        )


Look = Callable[[Any, bool | None], Iterator[Said]]
_CHECKS: dict[tuple[str, str], Look] = {
    ("artifact_store", "local"): _local_store,
    ("artifact_store", "s3"): _s3_store,
    ("experiment_tracker", "mlflow"): _mlflow,
    ("orchestrator", "local_docker"): _docker,
    ("image_builder", "local"): _builder,
    ("container_registry", "default"): _registry,
    ("orchestrator", "kubernetes"): _kubernetes,
    ("orchestrator", "kubeflow"): _kubernetes,
}
