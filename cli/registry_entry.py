"""The registry of the active stack, as the commands ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.quiet import quiet_terminal

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ops.registry.embedding_registry import EmbeddingRegistry

__all__ = ["entry_of", "registry_client"]


def registry_client() -> MlflowClient:
    """MLflow's, of the active stack."""
    quiet_terminal()
    from ops.tracking.active_tracker import active_tracker

    quiet_terminal(again=True)  # ZenML is imported now
    return active_tracker().client


def entry_of(concept: str) -> EmbeddingRegistry:
    """A registered concept's entry."""
    client = registry_client()
    from ops.registry.embedding_registry import EmbeddingRegistry

    return EmbeddingRegistry.find(client, concept)
