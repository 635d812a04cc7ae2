"""ZenML's copy of who is the champion: it remembers where MLflow's registry is gone."""

from __future__ import annotations

__all__ = ["mirrored_champion"]


def mirrored_champion(name: str) -> str | None:
    """The version that ZenML's model control plane has in production, such as ``mlflow-3``."""
    from zenml.client import Client
    from zenml.enums import ModelStages

    client = Client()
    for model in client.list_models(name=f"equals:{name}").items:
        stage = ModelStages.PRODUCTION.value
        for version in client.list_model_versions(model=model.id, stage=stage).items:
            return str(version.name)
    return None
