"""What the check says of images and clusters: against servers that speak the real protocols.

There is no cluster here: the Kubernetes API's answers are stood in for by a server that gives the
same JSON; the client that reads them is the real one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.stack_check import _builder, _docker, _kubernetes, _registry, _without_password

Answers = Mapping[str, tuple[int, Any]]


@contextmanager
def _server(answers: Answers) -> Iterator[str]:
    """Answers by path, 404 for any other; its host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answers.get(self.path.partition("?")[0], (404, {}))
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _node(gpus: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "node"},
        "status": {"allocatable": {"nvidia.com/gpu": str(gpus)} if gpus else {}},
    }


def _said(host: str, folder: Path, gpu: bool | None, monkeypatch: pytest.MonkeyPatch) -> Any:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": f"http://{host}"}}],
        "users": [{"name": "test", "user": {"token": "none"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    settings = SimpleNamespace(
        kubernetes_namespace="coti", kubernetes_context="test", incluster=False
    )
    return list(_kubernetes(SimpleNamespace(config=settings), gpu))


@pytest.mark.parametrize(
    ("namespace", "gpus", "wanted", "states", "words"),
    [
        (200, 2, None, ["ok", "ok"], "2 GPUs on 1 nodes"),
        (200, 0, None, ["ok", "FAIL"], "no node offers nvidia.com/gpu"),
        (200, 0, False, ["ok", "skip"], "none is wanted"),
        (404, 0, None, ["FAIL"], "no namespace 'coti'"),
        (403, 0, None, ["FAIL"], "the cluster refuses (403"),
    ],
)
def test_a_clusters_namespace_and_gpus(
    namespace: int,
    gpus: int,
    wanted: bool | None,
    states: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is missing is said with the remedy."""
    answers = {
        "/api/v1/namespaces/coti": (namespace, {"metadata": {"name": "coti"}}),
        "/api/v1/nodes": (200, {"items": [_node(gpus)]}),
    }
    with _server(answers) as host:
        said = _said(host, tmp_path, wanted, monkeypatch)
    assert [state for state, _ in said] == states
    assert words in said[-1][1]


def test_a_cluster_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, no traceback."""
    with _server({}) as host:
        pass
    ((state, words),) = _said(host, tmp_path, None, monkeypatch)
    assert state == "FAIL"
    assert "does not answer" in words


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [(200, "ok", "is there"), (404, "FAIL", "build it"), (401, "skip", "asks for a login")],
)
def test_an_image_is_looked_for_in_its_registry(
    status: int, state: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By digest or by tag, as the registry's own protocol asks for it."""
    monkeypatch.delenv("COTI_CPU_IMAGE", raising=False)
    digest = "sha256:" + "0" * 64
    for rest, path in (
        (f"team/coti@{digest}", f"/v2/team/coti/manifests/{digest}"),
        ("coti:0.1.0", "/v2/coti/manifests/0.1.0"),
    ):
        with _server({path: (status, {})}) as host:
            monkeypatch.setenv("COTI_IMAGE", f"{host}/{rest}")
            ((said, why),) = _registry(None, None)
        assert said == state
        assert words in why


def test_a_registry_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none named at all."""
    monkeypatch.delenv("COTI_CPU_IMAGE", raising=False)
    monkeypatch.setenv("COTI_IMAGE", "127.0.0.1:9/coti:1")
    ((state, words),) = _registry(None, None)
    assert (state, "does not answer" in words) == ("FAIL", True)
    monkeypatch.setenv("COTI_IMAGE", "coti:local")
    ((state, words),) = _registry(None, None)
    assert (state, "names no registry" in words) == ("skip", True)


def test_no_engine_stops_a_docker_stack_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods are built elsewhere; containers of this machine need its engine."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    ((state, words),) = _docker(None, None)
    assert state == "FAIL"
    assert "no Docker engine answers" in words
    ((state, words),) = _builder(None, None)
    assert state == "skip"
    assert "skip_build" in words


def test_a_databases_password_is_not_printed() -> None:
    """A component that was registered by hand may hold one."""
    assert _without_password("postgresql://mlflow:word@db:5/m") == "postgresql://mlflow@db:5/m"
    assert _without_password("sqlite:////somewhere/mlflow.db") == "sqlite:////somewhere/mlflow.db"
