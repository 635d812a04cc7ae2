"""Pod Security's profile "restricted", as its documentation lists it, and what we ask beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["pod_specs", "problems"]

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def pod_specs(manifest: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Metadata and spec of each pod (template) in a manifest."""
    kind, spec = manifest["kind"], manifest.get("spec", {})
    if kind == "Pod":
        yield manifest.get("metadata", {}), spec
    elif kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet"):
        yield spec["template"].get("metadata", {}), spec["template"]["spec"]
    elif kind == "CronJob":
        template = spec["jobTemplate"]["spec"]["template"]
        yield template.get("metadata", {}), template["spec"]


def problems(spec: dict[str, Any]) -> list[str]:
    """What "restricted" forbids, and what we forbid beside it: a sentence each."""
    found = [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    pod = spec.get("securityContext") or {}
    for volume in spec.get("volumes") or []:
        kinds = {key for key, value in volume.items() if key != "name" and value is not None}
        if not kinds <= VOLUMES:
            found.append(f"volume {volume['name']} is {sorted(kinds)}")
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        own = container.get("securityContext") or {}
        name = container["name"]

        def both(key: str, own: dict[str, Any] = own) -> Any:
            return own[key] if own.get(key) is not None else pod.get(key)

        if both("runAsNonRoot") is not True:
            found.append(f"{name}: runAsNonRoot is not true")
        if both("runAsUser") == 0:
            found.append(f"{name}: runs as root")
        profile = (both("seccompProfile") or {}).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            found.append(f"{name}: seccomp profile {profile}")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append(f"{name}: allowPrivilegeEscalation is not false")
        if own.get("privileged"):
            found.append(f"{name}: privileged")
        capabilities = own.get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or []):
            found.append(f"{name}: capabilities are not dropped")
        if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
            found.append(f"{name}: adds capabilities")
        if any(port.get("hostPort") for port in container.get("ports") or []):
            found.append(f"{name}: a host port")
        # Beyond the profile.
        if own.get("readOnlyRootFilesystem") is not True:
            found.append(f"{name}: the root file system can be written")
        resources = container.get("resources") or {}
        for part in ("requests", "limits"):
            missing = {"cpu", "memory"} - set(resources.get(part) or {})
            if missing:
                found.append(f"{name}: no {part} for {sorted(missing)}")
    return found
