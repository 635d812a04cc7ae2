"""Beside the loop: what the judge says of a cycle. Nothing that steers reads it.

Only here are held-out references, the judge and, for a metric, the ground truth.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from coti.core.tensors import TensorBundle
from coti.encoders.protocol import ImageEncoder, ImageTextEncoder
from coti.loop.training_set import TrainingSet
from coti.metrics.judge import judge_images
from coti.metrics.selection_precision import selection_precision
from coti.settings import RunSettings

__all__ = ["judge_cycle"]


def judge_cycle(
    generated: torch.Tensor,  # X_TI, uint8 [n, 3, h, w]
    references: TensorBundle,  # of coti.metrics.judge.embed_references
    training_set: TrainingSet,  # X_T
    sources: Mapping[str, str],  # id to file name
    settings: RunSettings,
    judge: ImageTextEncoder,  # that the references were embedded with
    inception: ImageEncoder | None = None,  # likewise, for FID
    ssl_judge: ImageEncoder | None = None,  # likewise, class-blind
    ground_truth: Mapping[str, bool] | None = None,  # file name to whether an image is clean
) -> dict[str, Any]:
    """What only watches: ``metrics``, ``references`` (how many) and ``seconds``."""
    began = time.monotonic()
    metrics = judge_images(
        judge,
        generated,
        references,
        settings.concept,
        settings.evaluation,
        settings.seed,
        inception,
        ssl_judge,
    )
    if ground_truth is not None and training_set.selected:
        selected = [sources[name] for name in training_set.selected]
        metrics["selection_precision"] = selection_precision(selected, ground_truth)
    there = references.tensors.get("references")
    return {
        "metrics": metrics,
        "references": 0 if there is None else len(there),
        "seconds": time.monotonic() - began,
    }
