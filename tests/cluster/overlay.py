"""The dev overlay with this cluster's images, and requests that fit a machine of two cores."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import yaml

__all__ = ["run_file", "write_overlay"]

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"cpu": "50m", "memory": "256Mi"}
"""What every pod asks for here: the manifests' own requests are for nodes of their own."""


def write_overlay(folder: Path, images: dict[str, str], run: dict[str, Any], api: str) -> Path:
    """A copy of ``k8s/`` below ``folder`` whose images are these, and an overlay of dev in it.

    Args:
        folder: An empty folder.
        images: Name in the manifests -> name with digest.
        run: A run file, which the CronJob runs instead of the overlay's.
        api: Address behind the service `kubernetes`, which the page says to put into its policy.
    """
    copy = folder / "k8s"
    shutil.copytree(ROOT / "k8s" / "base", copy / "base")
    shutil.copytree(ROOT / "k8s" / "overlays", copy / "overlays")
    for file in (copy / "base" / "kustomization.yaml", copy / "overlays/dev/kustomization.yaml"):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for each in content["images"]:
            each["newName"], each["digest"] = images[each["name"]].split("@")
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    overlay = copy / "overlays" / "test"
    overlay.mkdir()
    (overlay / "run.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    spec = "/spec/template/spec/containers/0/resources/requests"
    job = "/spec/jobTemplate/spec/template/spec"
    words = "/opt/coti/bin/coti retrain /run/coti/run.yaml --stack kubernetes --lenient"
    mount = {"name": "run", "mountPath": "/run/coti", "readOnly": True}
    behind = {"ipBlock": {"cidr": f"{api}/32"}}
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../dev"],
        "configMapGenerator": [
            {"name": "test-run", "namespace": "coti-run", "files": ["run.yaml"]}
        ],
        "generatorOptions": {"disableNameSuffixHash": True},
        "patches": [
            *(
                {"target": {"kind": kind}, "patch": _patch("replace", spec, SMALL)}
                for kind in ("Deployment", "StatefulSet")
            ),
            {
                "target": {"kind": "NetworkPolicy", "name": "kubernetes-api"},
                "patch": _patch("add", "/spec/egress/0/to/-", behind),
            },
            {
                "target": {"kind": "CronJob"},
                "patch": _patch("replace", f"{job}/containers/0/resources/requests/cpu", "50m")
                + _patch("replace", f"{job}/containers/0/command", words.split())
                + _patch("add", f"{job}/containers/0/volumeMounts/-", mount)
                + _patch(
                    "add", f"{job}/volumes/-", {"name": "run", "configMap": {"name": "test-run"}}
                ),
            },
        ],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return overlay


def _patch(op: str, path: str, value: Any) -> str:
    return yaml.safe_dump([{"op": op, "path": path, "value": value}])


def run_file(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """``configs/NAME`` with these parameters, and requests that fit the machine."""
    text = (ROOT / "configs" / name).read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(
        re.sub(r"requests: \{cpu: [^,]*,", "requests: {cpu: 50m,", text)
    )
    content["parameters"]["config"] = {**config, "output": "/tmp/outputs"}
    return content
