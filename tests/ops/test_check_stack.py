"""What the check says of images and clusters: against servers that speak the real protocols.

There is no cluster here: the Kubernetes API's answers are stood in for by a server that gives the
same JSON; the client that reads them is the real one.
"""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from zenml.exceptions import CredentialsNotValid

from cli.stack import unset_empty_store_variables
from ops.stack import check_stack
from ops.stack.check_cluster import look_at_cluster
from ops.stack.check_images import (
    _anonymous_token,
    look_at_builder,
    look_at_engine,
    look_at_registry,
)
from ops.stack.check_stack import store_problem
from ops.stack.storage_sentence import storage_sentence

Answers = Mapping[str, tuple[int, Any]]


@contextmanager
def _server(
    answers: Answers, login: str | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Answers by path, 404 for any other, 401 without the login; its host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answers.get(self.path.partition("?")[0], (404, {}))
            if login is not None and self.headers.get("Authorization") != login:
                status, content = 401, {}
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
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    with _serving(server) as host:
        yield host


@contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[str]:
    """Its host and port, while it answers."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _pod(folder: Path, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a pod finds: the cluster's address in its environment, its own token, the cluster's CA.

    The API speaks TLS and knows nobody without the token, as a cluster's does.
    """
    authority, key = folder / "ca.crt", folder / "ca.key"
    _certificate(authority, key)
    (folder / "token").write_text("the-pods-own")
    module = "kubernetes.config.incluster_config"
    monkeypatch.setattr(f"{module}.SERVICE_TOKEN_FILENAME", str(folder / "token"))
    monkeypatch.setattr(f"{module}.SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "none")
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, key)
    with _server(answers, "bearer the-pods-own", context) as host:
        name, _, port = host.partition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", name)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        yield


def _certificate(path: Path, key_path: Path) -> None:
    """One that signs itself, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a cluster")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


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
        kubernetes_namespace="coti-run", kubernetes_context="test", incluster=False
    )
    return list(look_at_cluster(SimpleNamespace(config=settings), gpu))


@pytest.mark.parametrize(
    ("namespace", "gpus", "wanted", "states", "words"),
    [
        (200, 2, None, ["ok", "ok"], "2 GPUs on 1 nodes"),
        (200, 0, None, ["ok", "FAIL"], "no node offers nvidia.com/gpu"),
        (200, 0, False, ["ok", "skip"], "none is wanted"),
        (404, 0, None, ["FAIL"], "no namespace 'coti-train'"),
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
    """What is missing is said with the remedy: of the run, and of the steps, too."""
    answers = {
        **{f"/api/v1/namespaces/{name}": (200, {}) for name in ("coti-run", "coti-ingest")},
        "/api/v1/namespaces/coti-train": (namespace, {}),
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


KUBERNETES = SimpleNamespace(kubernetes_namespace="coti", kubernetes_context=None, incluster=True)
KUBEFLOW = SimpleNamespace(kubeflow_namespace="coti", kubernetes_context=None)
"""ZenML's Kubeflow orchestrator has no setting for a pod that submits."""


@pytest.mark.parametrize("settings", [KUBERNETES, KUBEFLOW], ids=["kubernetes", "kubeflow"])
@pytest.mark.parametrize(
    ("namespace", "states", "words"),
    [
        (200, ["ok", "ok"], "2 GPUs on 1 nodes"),
        (403, ["skip"], "this pod may not look"),
        (401, ["FAIL"], "the cluster refuses (401"),
    ],
)
def test_a_pod_asks_with_its_own_identity(
    namespace: int,
    states: list[str],
    words: str,
    settings: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the real client, without any kubeconfig; rights that it need not have are no failure."""
    answers = {
        "/api/v1/namespaces/coti": (namespace, {"metadata": {"name": "coti"}}),
        "/api/v1/nodes": (200, {"items": [_node(2)]}),
    }
    with _pod(tmp_path, answers, monkeypatch):
        said = list(look_at_cluster(SimpleNamespace(config=settings), None))
    assert [state for state, _ in said] == states
    assert words in said[-1][1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [(KUBERNETES, "no pod of the cluster"), (KUBEFLOW, "no Kubernetes context that is current")],
    ids=["kubernetes", "kubeflow"],
)
def test_what_was_registered_by_a_pod_says_so_elsewhere(
    settings: SimpleNamespace, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that is no pod and has no kubeconfig."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    ((state, said),) = look_at_cluster(SimpleNamespace(config=settings), None)
    assert state == "FAIL"
    assert words in said
    assert "repeat `coti stack up`" in said


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (200, "ok", "is there"),
        (404, "FAIL", "build and push it"),
        (401, "skip", "asks for a login"),
    ],
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
            ((said, why),) = look_at_registry(None)
        assert said == state
        assert words in why


@contextmanager
def _token_registry(token_status: int, manifest_status: int) -> Iterator[tuple[str, list[str]]]:
    """A registry that wants a bearer token, as GHCR and Docker Hub do; what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, content: Any = None, challenge: str = "") -> None:
            body = json.dumps(content or {}).encode()
            self.send_response(status)
            if challenge:
                self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            place = f"127.0.0.1:{self.server.server_address[1]}"  # type: ignore[index]
            if self.path.startswith("/token?"):
                query = parse_qs(urlsplit(self.path).query)
                scoped = query["scope"] == ["repository:team/coti:pull"]
                known = scoped and query["service"] == ["registry.example"]
                self._answer(token_status if known else 400, {"token": "for-everybody"})
            elif self.headers.get("Authorization") == "Bearer for-everybody":
                self._answer(manifest_status)
            else:
                scope = "repository:team/coti:pull"
                self._answer(
                    401,
                    challenge=f'Bearer realm="http://{place}/token",service="registry.example",'
                    f'scope="{scope}"',
                )

        do_HEAD = do_GET

        def log_message(self, *words: Any) -> None:
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as host:
        yield host, asked


@pytest.mark.parametrize(
    ("token_status", "manifest_status", "state", "words"),
    [
        (200, 200, "ok", "is there"),
        (200, 404, "FAIL", "is not there: build and push it"),
        (200, 401, "skip", "a token for everybody does not open it"),
        (403, 200, "skip", "answered 403 without one"),
    ],
)
def test_a_registry_that_wants_a_token_gives_it_to_everybody(
    token_status: int,
    manifest_status: int,
    state: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So a missing image of a public repository is told from a private one."""
    monkeypatch.delenv("COTI_CPU_IMAGE", raising=False)
    with _token_registry(token_status, manifest_status) as (host, asked):
        monkeypatch.setenv("COTI_IMAGE", f"{host}/team/coti:0.1.0")
        ((said, why),) = look_at_registry(None)
    assert said == state
    assert words in why
    assert asked[0] == "HEAD /v2/team/coti/manifests/0.1.0"
    assert asked[1].startswith("GET /token?")
    assert len(asked) == (3 if token_status == 200 else 2)


def test_a_token_from_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the challenge says, there is an answer and no traceback."""
    for challenge in ("", "Basic realm=x", 'Bearer realm="file:///etc/passwd"', "Bearer"):
        token, why = _anonymous_token(challenge, "team/coti")
        assert (token, "no tokens" in why) == ("", True)
    token, why = _anonymous_token('Bearer realm="http://127.0.0.1:9/token"', "team/coti")
    assert (token, "127.0.0.1:9 gave no token" in why) == ("", True)
    with _server({"/token": (200, ["not what was expected"])}) as host:
        token, why = _anonymous_token(f'Bearer realm="http://{host}/token"', "team/coti")
    assert (token, "gave no token" in why) == ("", True)


def test_a_registry_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none named at all."""
    monkeypatch.delenv("COTI_CPU_IMAGE", raising=False)
    monkeypatch.setenv("COTI_IMAGE", "127.0.0.1:9/coti:1")
    ((state, words),) = look_at_registry(None)
    assert (state, "does not answer" in words) == ("FAIL", True)
    monkeypatch.setenv("COTI_IMAGE", "coti:local")
    ((state, words),) = look_at_registry(None)
    assert (state, "names no registry" in words) == ("skip", True)


def test_no_engine_stops_a_docker_stack_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods are built elsewhere; containers of this machine need its engine."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    ((state, words),) = look_at_engine(None)
    assert state == "FAIL"
    assert "no Docker engine answers" in words
    ((state, words),) = look_at_builder(None)
    assert state == "skip"
    assert "skip_build" in words


def test_the_builder_asks_for_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that has not pulled it is sound: the registry has it, and pods pull it there."""
    version = {"ApiVersion": "1.47", "MinAPIVersion": "1.24", "Version": "28.0"}
    monkeypatch.setenv("COTI_IMAGE", "registry.example/coti:1")
    answers: Answers = {
        "/version": (200, version),
        "/v1.47/version": (200, version),
        "/v1.47/images/registry.example/coti:1/json": (404, {"message": "No such image"}),
    }
    with _server(answers) as host:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{host}")
        assert [state for state, _ in look_at_builder(None)] == ["ok"]
        assert [state for state, _ in look_at_engine(None)] == ["ok", "FAIL"]


def test_a_stores_address_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither from the variable nor from the words of the error."""
    address = "mysql://zenml:planted/word@db:3306/zenml"
    monkeypatch.setenv("ZENML_STORE_URL", address)
    said = store_problem(RuntimeError(f"{address} is not to my liking"))
    assert "planted" not in said
    assert "word" not in said
    assert said.startswith("mysql://***@db:3306/zenml cannot be used (RuntimeError: mysql://***@db")
    said = store_problem(CredentialsNotValid("no"))
    assert "refuses the login" in said
    assert "set ZENML_STORE_API_KEY" in said


def test_an_empty_variable_of_the_store_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """CI passes one that is not set as an empty one; ZenML takes that for an address."""
    monkeypatch.setenv("ZENML_STORE_URL", "")
    monkeypatch.setenv("ZENML_STORE_API_KEY", " ")
    monkeypatch.setenv("ZENML_STORE_TYPE", "sql")
    unset_empty_store_variables()
    assert [key for key in os.environ if key.startswith("ZENML_STORE_")] == ["ZENML_STORE_TYPE"]


@pytest.mark.parametrize("login", ["", "me:secret@", "me:se/c@ret@", "secret@"])
def test_a_server_is_named_without_a_login(login: str) -> None:
    """By its scheme, host and port, whoever says that it does not answer."""
    tracker = SimpleNamespace(get_tracking_uri=lambda: f"http://{login}localhost:9/x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ops.stack.check_stack.share_credentials", lambda tracker: None)
        ((state, said),) = check_stack._mlflow(tracker)
    assert state == "FAIL"
    assert said.startswith("MLflow at http://localhost:9 does not answer (")
    request: Any = SimpleNamespace(url=f"http://{login}localhost:9/x?token=secret")
    said = str(storage_sentence(requests.ConnectionError(request=request)))
    assert "(http://localhost:9 does not answer: ConnectionError)" in said
    said = check_stack._unforeseen(ValueError(f"no answer from http://{login}localhost:9"))
    assert "secret" not in said
    assert "ret@" not in said
