"""Compile and submit in a process of its own, up to the call that would reach a cluster.

Usage: ``python -m tests.k8s.capture kubernetes|kubeflow FOLDER``; writes to FOLDER what the
run files of the overlays' CronJobs become.

There is no cluster here. What is replaced: the Kubernetes API client (it records what it is given
to create), Kubeflow's upload (the compiled file is kept), the object store (moto), and ZenML's
demand for a remote server. Everything before that, ZenML's compiler, its orchestrators and KFP's
compiler, is real.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "registry.example/coti@sha256:" + "0" * 64
CPU_IMAGE = IMAGE.replace("coti@", "coti-cpu@")
RUN_FILES = {
    "dev": "configs/kubernetes_cpu.yaml",
    "gpu": "configs/kubernetes.yaml",
    "kubeflow": "configs/kubeflow.yaml",
}
"""Overlay -> the run file of its CronJob."""
GPU_STEPS = ("train_cycle", "score_generations", "judge_cycle")
"""What trains, generates, or looks at generations."""
PLANTED = ("planted-access-key", "planted-secret-key", "planted-password", "planted-token")
"""What must be in nothing that is submitted or said."""


def captured_by(kind: str, folder: Path) -> Path:
    """Run :func:`main` in a process of its own; the folder with what it wrote."""
    from tests.warm_start import warm_start

    words = ["-m", "tests.k8s.capture", kind, str(folder)]
    done = warm_start().run(words, ROOT, {**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert not any(word in done.stdout + done.stderr for word in PLANTED)
    return folder


class _Recorder:
    """Takes what would be created."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []

        self.secrets: list[tuple[str, str]] = []

    def create_namespaced_job(self, namespace: str, body: Any, **options: Any) -> None:
        body.metadata.namespace = namespace
        self.jobs.append(body)

    def create_namespaced_secret(self, namespace: str, body: Any, **options: Any) -> None:
        self.secrets.append((namespace, body["metadata"]["name"]))


def main(kind: str, folder: Path) -> None:
    """Write ``OVERLAY.jobs.json`` (Kubernetes) or ``pipeline.yaml`` (Kubeflow)."""
    environment = {
        "COTI_S3_BUCKET": "coti",
        "AWS_ACCESS_KEY_ID": "planted-access-key",
        "AWS_SECRET_ACCESS_KEY": "planted-secret-key",
        "MLFLOW_TRACKING_URI": "http://mlflow.example:5000",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # nobody answers there
        "MLFLOW_TRACKING_USERNAME": "coti",
        "MLFLOW_TRACKING_PASSWORD": "planted-password",
        "COTI_REGISTRY": "registry.example",
        "COTI_IMAGE": IMAGE,
        "COTI_CPU_IMAGE": CPU_IMAGE,
        "COTI_KUBERNETES_CONTEXT": "test",
        "KUBECONFIG": str(folder / "kubeconfig"),
    }
    os.environ.update(environment)
    os.environ["ZENML_CONFIG_PATH"] = str(folder / "zenml")
    os.environ["COTI_LOG_DIR"] = str(folder / "logs")
    (folder / "kubeconfig").write_text(json.dumps(_kubeconfig()))
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ["COTI_S3_ENDPOINT"] = f"http://{host}:{port}"
    import boto3

    boto3.client("s3", endpoint_url=os.environ["COTI_S3_ENDPOINT"]).create_bucket(Bucket="coti")
    try:
        _submit(kind, folder)
    finally:
        server.stop()


def _kubeconfig() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [{"name": "test", "user": {"token": "planted-token"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }


def _submit(kind: str, folder: Path) -> None:
    from ops.stack.register_stack import register_stack

    register_stack(kind, root=folder)
    os.chdir(folder)
    from zenml.client import Client
    from zenml.stack import Stack

    Client().activate_root(folder)
    stored = [secret.name for secret in Client().list_secrets().items]
    (folder / "stored.json").write_text(json.dumps(stored))
    with mock.patch.object(Stack, "requires_remote_server", False):
        if kind == "kubernetes":
            for overlay in ("gpu", "dev"):
                _kubernetes(folder, overlay)
        else:
            _kubeflow(folder)


def _kubernetes(folder: Path, overlay: str) -> None:
    from zenml.config.step_run_info import StepRunInfo
    from zenml.integrations.kubernetes.orchestrators import KubernetesOrchestrator as Orchestrator

    from pipelines.concept import coti_concept

    recorder, seen = _Recorder(), []
    submit = Orchestrator.submit_dynamic_pipeline

    def remember(
        self: Any, snapshot: Any, stack: Any, environment: dict[str, str], **more: Any
    ) -> Any:
        seen.append((self, snapshot))
        # A remote server's run has one; it must go into a secret.
        environment["ZENML_STORE_API_TOKEN"] = "planted-token"
        submit(self, snapshot=snapshot, stack=stack, environment=environment, **more)
        raise _CapturedError

    with (
        mock.patch.object(Orchestrator, "_k8s_batch_api", recorder),
        mock.patch.object(Orchestrator, "_k8s_core_api", recorder),
        mock.patch.object(Orchestrator, "submit_dynamic_pipeline", remember),
    ):
        try:
            coti_concept.with_options(config_path=str(ROOT / RUN_FILES[overlay]))()
        except BaseException as error:
            if not _is_captured(error):
                raise
        _, snapshot = seen[0]
        retries: dict[str, int] = {}
        for name, step in snapshot.step_configurations.items():
            if step.config.runtime is None or step.config.runtime.value != "isolated":
                continue
            # Without validation: there is no run of the step yet.
            info = StepRunInfo.model_construct(
                step_run_id=uuid.uuid4(),
                run_id=uuid.uuid4(),
                run_name="run",
                pipeline_step_name=name,
                config=step.config,
                spec=step.spec,
                pipeline=snapshot.pipeline_configuration,
                snapshot=snapshot,
                force_write_logs=lambda: None,
            )
            _launched(info, {"NAME": name}, {"ZENML_STORE_API_TOKEN": "planted-token"})
            retries[name] = 0 if step.config.retry is None else step.config.retry.max_retries
    (folder / f"{overlay}.retries.json").write_text(json.dumps(retries))
    (folder / f"{overlay}.tokens.json").write_text(json.dumps(recorder.secrets))
    from kubernetes.client import ApiClient

    # The client leaves out what the address it posts to says.
    kind = {"apiVersion": "batch/v1", "kind": "Job"}
    jobs = [{**kind, **ApiClient().sanitize_for_serialization(job)} for job in recorder.jobs]
    (folder / f"{overlay}.jobs.json").write_text(json.dumps(jobs))


def _launched(info: Any, environment: dict[str, str], secrets: dict[str, str]) -> None:
    """A step goes to the orchestrator as ZenML's own launcher sends it in the controller's pod."""
    from zenml.client import Client
    from zenml.orchestrators.step_launcher import StepLauncher

    launcher = StepLauncher.__new__(StepLauncher)
    launcher._stack, launcher._wait = Client().active_stack, False
    with mock.patch(
        "zenml.orchestrators.utils.get_config_environment_vars",
        return_value=(environment, secrets),
    ):
        launcher._run_step_with_dynamic_orchestrator(step_run_info=info)


def _kubeflow(folder: Path) -> None:
    from zenml.integrations.kubeflow.orchestrators import KubeflowOrchestrator as Orchestrator

    from pipelines.concept_static import coti_concept_static

    def keep(self: Any, snapshot: Any, pipeline_file_path: str, run_name: str) -> Any:
        (folder / "pipeline.yaml").write_bytes(Path(pipeline_file_path).read_bytes())
        steps = {
            name: list(step.spec.upstream_steps)
            for name, step in snapshot.step_configurations.items()
        }
        (folder / "upstream.json").write_text(json.dumps(steps))
        raise _CapturedError

    with mock.patch.object(Orchestrator, "_upload_and_run_pipeline", keep):
        try:
            run_file = str(ROOT / RUN_FILES["kubeflow"])
            coti_concept_static.with_options(config_path=run_file)()
        except BaseException as error:
            if not _is_captured(error):
                raise


class _CapturedError(Exception):
    """All that is wanted has been seen."""


def _is_captured(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, _CapturedError):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
