"""A cluster: the one that ``KUBECONFIG`` names, or this machine's own (``k8s/cluster.sh``)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kubectl import Cluster

ROOT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("COTI_CLUSTER_STATE", "/var/lib/coti-cluster"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """None of these runs unasked: they take a machine for minutes."""
    if "COTI_TEST_CLUSTER" in os.environ:
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason="its own: make test-cluster"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster; one that was brought up for the tests is taken down behind them."""
    if os.environ.get("KUBECONFIG"):
        yield Cluster(Path(os.environ["KUBECONFIG"]), own=False)
        return
    was_up = _script("status").returncode == 0
    if not was_up:
        done = _script("up")
        assert done.returncode == 0, done.stderr[-3000:]
    yield Cluster(STATE / "admin.kubeconfig", own=True)
    if not was_up:
        assert _script("down").returncode == 0


def _script(word: str) -> subprocess.CompletedProcess[str]:
    words = [str(ROOT / "k8s" / "cluster.sh"), word]
    return subprocess.run(words, capture_output=True, text=True, check=False)
