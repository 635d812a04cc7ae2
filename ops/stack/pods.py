"""What ZenML 0.98 gets wrong in the pods and containers that it asks for, mended here.

On Kubernetes it merges our container security context into the client library's own, and from
there come keys in Python's spelling with nothing in them (``run_as_user: null``): Kubernetes drops
them with a warning, a strict validation refuses them. On Kubeflow it asks for a step's GPU only
where the pod settings select an accelerator, and loses all pod settings before it looks there.
It gives the controller's pod the run's ZenML token from a Kubernetes secret, and step pods the same
in plain sight; a token that is there already it would `patch`, and who may do that reads every
secret. It starts all pods in one namespace, where who may start one mounts what they like: steps go
into that of their role (``STEP_NAMESPACES``). A dynamic pipeline that failed in its Docker
container ends here as if it had succeeded.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import Any

import click
import wrapt

__all__ = ["ROLE", "STEP_NAMESPACES", "mend_pods"]

ROLE = "coti.dev/role"
"""Label of our pods, in a run file's pod settings."""
STEP_NAMESPACES = {"ingest": "coti-ingest", "train": "coti-train"}
"""Role -> where its pods run; all others run where the orchestrator's stack component says."""

_KUBE_UTILS = "zenml.integrations.kubernetes.kube_utils"
_KUBERNETES = "zenml.integrations.kubernetes.orchestrators.kubernetes_orchestrator"
_MANIFESTS = "zenml.integrations.kubernetes.manifest_utils"
_KUBEFLOW = "zenml.integrations.kubeflow.orchestrators.kubeflow_orchestrator"
_LOCAL_DOCKER = "zenml.orchestrators.local_docker.local_docker_orchestrator"
_TOKEN = "ZENML_STORE_API_TOKEN"
_token_secret: ContextVar[str | None] = ContextVar("_token_secret", default=None)
_ACCELERATOR = ("accelerator", "nvidia.com/gpu")
"""ZenML's label for it, and the resource that NVIDIA's device plugin offers."""


def mend_pods() -> None:
    """Mend all, as soon as ZenML loads the orchestrator; most runs load none of them."""
    wrapt.register_post_import_hook(_mend_manifests, _MANIFESTS)
    wrapt.register_post_import_hook(_mend_secrets, _KUBE_UTILS)
    wrapt.register_post_import_hook(_mend_kubernetes, _KUBERNETES)
    wrapt.register_post_import_hook(_mend_kubeflow, _KUBEFLOW)
    wrapt.register_post_import_hook(_mend_local_docker, _LOCAL_DOCKER)


def _mend_manifests(module: ModuleType) -> None:
    wrapt.wrap_function_wrapper(module, "add_pod_settings", _without_empty_keys)


def _mend_secrets(module: ModuleType) -> None:
    wrapt.wrap_function_wrapper(module, "update_secret", _making_it_anew)


def _mend_kubernetes(module: ModuleType) -> None:
    for name, mended in (
        ("submit_isolated_step_with_allocation", _hiding_the_token),
        ("get_isolated_step_status", _where_the_step_runs),
        ("stop_isolated_step", _where_the_step_runs),
        ("_stop_run", _in_every_namespace),
        ("_create_auth_secret_if_necessary", _with_the_token_in_every_namespace),
        ("_prepare_job_manifest", _with_the_token_from_its_secret),
    ):
        wrapt.wrap_function_wrapper(module, f"KubernetesOrchestrator.{name}", mended)


def _mend_kubeflow(module: ModuleType) -> None:
    name = "KubeflowOrchestrator._configure_container_resources"
    wrapt.wrap_function_wrapper(module, name, _with_gpus)


def _mend_local_docker(module: ModuleType) -> None:
    name = "LocalDockerOrchestrator.submit_dynamic_pipeline"
    wrapt.wrap_function_wrapper(module, name, _failing_with_its_run)


def _without_empty_keys(
    add_pod_settings: Callable[..., None], instance: object, args: Any, kwargs: dict[str, Any]
) -> None:
    add_pod_settings(*args, **kwargs)
    for container in kwargs["pod_spec"].containers:
        if isinstance(container.security_context, dict):
            known = {k: v for k, v in container.security_context.items() if v is not None}
            container.security_context = known


def _making_it_anew(
    update: Callable[..., None], instance: object, args: Any, kwargs: dict[str, Any]
) -> None:
    """A secret that is there already is deleted and made anew: nothing of it is answered."""
    from zenml.integrations.kubernetes import kube_utils

    given = inspect.signature(update).bind(*args, **kwargs).arguments
    data = {key: value for key, value in given.pop("data").items() if value is not None}
    kube_utils.delete_secret(**given)
    kube_utils.create_secret(**given, data=data)


def _elsewhere(orchestrator: Any, namespace: str) -> Any:
    """The same orchestrator with another namespace; steps are submitted side by side in threads."""
    other = copy.copy(orchestrator)
    other._config = orchestrator.config.model_copy(update={"kubernetes_namespace": namespace})
    return other


def _of_its_role(orchestrator: Any, step: Any) -> Any:
    """The orchestrator for a step run, in the namespace of the role that its pod's labels name."""
    pod = orchestrator.get_settings(step).pod_settings
    namespace = STEP_NAMESPACES.get((pod.labels or {}).get(ROLE, "")) if pod else None
    return _elsewhere(orchestrator, namespace) if namespace else orchestrator


def _where_the_step_runs(look: Any, instance: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    step = inspect.signature(look).bind(*args, **kwargs).arguments["step_run"]
    return look.__func__(_of_its_role(instance, step), *args, **kwargs)


def _in_every_namespace(stop: Any, instance: Any, args: Any, kwargs: dict[str, Any]) -> None:
    stop(*args, **kwargs)
    for namespace in STEP_NAMESPACES.values():
        stop.__func__(_elsewhere(instance, namespace), *args, **kwargs)


def _with_the_token_in_every_namespace(
    create: Callable[..., Any], instance: Any, args: Any, kwargs: dict[str, Any]
) -> Any:
    """A pod mounts secrets of its own namespace alone, so a step's holds the run's token, too."""
    from zenml.integrations.kubernetes import kube_utils
    from zenml.integrations.kubernetes.constants import KUBERNETES_SECRET_TOKEN_KEY_NAME

    given = inspect.signature(create).bind(*args, **kwargs).arguments
    token = given["environment"].get(_TOKEN)

    @contextmanager
    def created() -> Iterator[None]:
        with create(*args, **kwargs):
            if instance.config.pass_zenml_token_as_secret and token:
                for namespace in STEP_NAMESPACES.values():
                    kube_utils.create_or_update_secret(
                        core_api=instance._k8s_core_api,
                        namespace=namespace,
                        secret_name=instance.get_token_secret_name(given["snapshot"].id),
                        data={KUBERNETES_SECRET_TOKEN_KEY_NAME: token},
                    )
            yield

    return created()


def _hiding_the_token(submit: Any, instance: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """A step's pod is in its role's namespace and takes the token from the secret that is there."""
    step = inspect.signature(submit).bind(*args, **kwargs).arguments["step_run_info"]
    submit = partial(submit.__func__, _of_its_role(instance, step))

    def submit_hiding(
        step_run_info: Any, environment: dict[str, str], allocated_resource_request: Any
    ) -> Any:
        if not instance.config.pass_zenml_token_as_secret or _TOKEN not in environment:
            return submit(*args, **kwargs)
        visible = {name: value for name, value in environment.items() if name != _TOKEN}
        before = _token_secret.set(instance.get_token_secret_name(step_run_info.snapshot.id))
        try:
            return submit(step_run_info, visible, allocated_resource_request)
        finally:
            _token_secret.reset(before)

    return submit_hiding(*args, **kwargs)


def _with_the_token_from_its_secret(
    prepare: Callable[..., Any], instance: object, args: Any, kwargs: dict[str, Any]
) -> Any:
    secret = _token_secret.get()
    if secret is None:
        return prepare(*args, **kwargs)
    from zenml.integrations.kubernetes.constants import KUBERNETES_SECRET_TOKEN_KEY_NAME
    from zenml.integrations.kubernetes.pod_settings import KubernetesPodSettings

    given = kwargs.get("pod_settings") or KubernetesPodSettings()
    reference = {"secretKeyRef": {"name": secret, "key": KUBERNETES_SECRET_TOKEN_KEY_NAME}}
    env = [*given.env, {"name": _TOKEN, "valueFrom": reference}]
    kwargs["pod_settings"] = given.model_copy(update={"env": env})
    return prepare(*args, **kwargs)


def _with_gpus(
    configure: Callable[..., Any], instance: object, args: Any, kwargs: dict[str, Any]
) -> Any:
    """A step that asks for no GPU gets no accelerator, whatever another step's settings say."""
    task, resources = args[:2]
    return configure(task, resources, _ACCELERATOR if resources.gpu_count else None)


def _failing_with_its_run(
    submit: Callable[..., Any], instance: object, args: Any, kwargs: dict[str, Any]
) -> Any:
    """The wait ends with an error where the run did; its container's log was printed by then."""
    result, run = submit(*args, **kwargs), kwargs.get("placeholder_run")
    if result is None or result.wait_for_completion is None or run is None:
        return result
    wait = result.wait_for_completion

    def wait_and_look() -> None:
        from zenml.client import Client

        wait()
        ended = Client().get_pipeline_run(run.id)
        if not ended.status.is_successful:
            trace = ended.exception_info.traceback.strip() if ended.exception_info else ""
            why = (trace.splitlines() or [""])[-1].removeprefix("click.exceptions.ClickException: ")
            raise click.ClickException(why or f"the run {run.name} {ended.status.value}.")

    result.wait_for_completion = wait_and_look
    return result
