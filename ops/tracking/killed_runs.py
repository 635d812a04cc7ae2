"""Runs that were killed are said to be so, in MLflow and in ZenML; those that live are left alone.

A process that is killed tells nobody. So a run keeps which process it is, and whoever starts the
next one on the same machine sees which of them are there no more. Of another machine's it is not
known: ZenML says it, where its orchestrator watches the pods.
"""

from __future__ import annotations

import logging
import os
import socket

import psutil
from zenml.client import Client
from zenml.enums import ExecutionStatus, MetadataResourceTypes
from zenml.execution.pipeline.dynamic.run_context import DynamicPipelineRunContext
from zenml.models import PipelineRunResponse, PipelineRunUpdate, RunMetadataResource, StepRunUpdate
from zenml.utils.time_utils import utc_now

__all__ = ["close_killed_runs", "has_ended", "process_of", "this_process"]

_KEY = "coti_process"


def this_process() -> str:
    """Machine, number and start of this process."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"


def has_ended(process: str) -> bool:
    """Whether what :func:`this_process` said there is known to have ended.

    >>> has_ended(this_process()), has_ended("elsewhere 1 0.0")
    (False, False)
    """
    if not process.startswith(f"{socket.gethostname()} "):
        return False
    number, began = process.split()[-2:]
    try:
        return bool(abs(psutil.Process(int(number)).create_time() - float(began)) > 1)
    except psutil.NoSuchProcess:
        return True


def process_of(run: PipelineRunResponse) -> str:
    """What :func:`this_process` said in the run's; empty where it said nothing."""
    return str(run.run_metadata.get(_KEY, ""))


def close_killed_runs() -> None:
    """Let ZenML know which process this run is, and which of its pipeline's others were killed."""
    context = DynamicPipelineRunContext.get()
    if context is None:
        return
    client, run = Client(), context.run
    resource = RunMetadataResource(id=run.id, type=MetadataResourceTypes.PIPELINE_RUN)
    client.create_run_metadata({_KEY: this_process()}, [resource])
    running = ExecutionStatus.RUNNING.value
    pipeline = run.pipeline.id if run.pipeline is not None else None
    others = client.list_pipeline_runs(pipeline=pipeline, status=running, hydrate=True)
    for other in others.items:
        process = process_of(other)
        if other.id == run.id or not process or not has_ended(process):
            continue
        ended = StepRunUpdate(status=ExecutionStatus.FAILED, end_time=utc_now())
        for step in client.list_run_steps(pipeline_run_id=other.id, status=running).items:
            client.zen_store.update_run_step(step.id, ended)
        failed = PipelineRunUpdate(status=ExecutionStatus.FAILED, status_reason="It was killed.")
        client.zen_store.update_run(other.id, failed)
        logging.getLogger(__name__).info("the run %s was killed.", other.name)
