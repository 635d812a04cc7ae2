"""kubectl against the cluster of these tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Cluster", "Refused"]


class Refused(Exception):
    """What kubectl said as it failed."""


@dataclass(frozen=True)
class Cluster:
    """A cluster by its kubeconfig; ``own``: made by ``k8s/cluster.sh`` on this machine."""

    kubeconfig: Path
    own: bool

    @property
    def environment(self) -> dict[str, str]:
        """This process's, with the cluster's address."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def kubectl(self, *words: str, given: Any = None) -> str:
        """What the command prints; ``given`` is a manifest, or several, for ``-f -``.

        Raises:
            Refused: it failed.
        """
        several = {"apiVersion": "v1", "kind": "List", "items": given}
        manifest = several if isinstance(given, list) else given
        done = subprocess.run(
            [shutil.which("kubectl") or "kubectl", *words],
            input=None if given is None else json.dumps(manifest),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def get(self, *words: str) -> Any:
        """What ``kubectl get`` finds, as JSON."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def may(self, account: str, *words: str) -> bool:
        """``kubectl auth can-i`` for a service account ``namespace/name``."""
        namespace, name = account.split("/")
        try:
            self.kubectl("auth", "can-i", *words, f"--as=system:serviceaccount:{namespace}:{name}")
        except Refused as error:
            if str(error) not in ("no", ""):
                raise
            return False
        return True

    def until(self, what: str, *words: str, seconds: float = 60) -> str:
        """What the command prints once that is not empty."""
        for _ in range(int(seconds)):
            if found := self.kubectl(*words).strip():
                return found
            time.sleep(1)
        raise AssertionError(f"{what}: not within {seconds:.0f} seconds")
