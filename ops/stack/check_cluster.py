"""Does the cluster answer, with the namespaces and the GPUs that the steps need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from ops.stack.pods import STEP_NAMESPACES
from ops.stack.said import SECONDS, Said

__all__ = ["look_at_cluster"]


def look_at_cluster(orchestrator: Any, gpu: bool | None) -> Iterator[Said]:
    """Of ZenML's Kubernetes or Kubeflow orchestrator.

    Args:
        orchestrator: ZenML's.
        gpu: whether there must be a GPU node; None: there must.
    """
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
    names = [namespace, *(STEP_NAMESPACES.values() if namespace == "coti-run" else ())]
    try:
        for namespace in names:
            core.read_namespace(namespace, _request_timeout=SECONDS)
        yield "ok", f"the cluster answers and has the namespace {' and '.join(map(repr, names))}."
        nodes = core.list_node(_request_timeout=SECONDS).items
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
        said = (
            "no node offers nvidia.com/gpu: add a GPU node and NVIDIA's device plugin, or use "
            "configs/kubernetes_cpu.yaml and check with --no-gpu."
        )
        yield "FAIL", said
