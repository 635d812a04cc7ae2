"""ZenML's model control plane in step with MLflow's registry, which is the source of truth."""

from __future__ import annotations

from ops.registry.embedding_registry import CHALLENGER, CHAMPION, EmbeddingRegistry, metrics_of

__all__ = ["mirror_to_zenml"]


def mirror_to_zenml(registry: EmbeddingRegistry) -> None:
    """Put ZenML's model control plane in step with MLflow's aliases.

    The champion is in stage ``production``, the challenger in ``staging``; whoever was there before
    is archived. A version's metrics are its metadata. Where somebody moves an alias meanwhile, it
    is done again, so that whoever ends last leaves what MLflow says.
    """
    mirrored: dict[str, str] | None = None
    if registry.vanished() is not None:
        return  # ZenML's copy is what tells that there was another registry
    while (held := registry.client.get_registered_model(registry.name).aliases) != mirrored:
        for alias in (CHALLENGER, CHAMPION):
            if alias in held:
                _mirror(registry, str(held[alias]), alias)
        mirrored = held


def _mirror(registry: EmbeddingRegistry, number: str, alias: str) -> None:
    from zenml.client import Client
    from zenml.enums import MetadataResourceTypes, ModelStages
    from zenml.models import RunMetadataResource

    client, name = Client(), f"mlflow-{number}"
    stage = ModelStages.PRODUCTION if alias == CHAMPION else ModelStages.STAGING
    # Not get_model: where there is none of this name, it takes one whose name begins so.
    found = client.list_models(name=f"equals:{registry.name}")
    model = found[0] if found.items else client.create_model(registry.name)
    try:
        entry = client.get_model_version(model.id, name)
    except KeyError:
        entry = client.create_model_version(model.id, name=name)
        version = registry.client.get_model_version(registry.name, number)
        resource = RunMetadataResource(id=entry.id, type=MetadataResourceTypes.MODEL_VERSION)
        known = {key: value for key, value in metrics_of(version).items() if value is not None}
        if known:
            client.create_run_metadata(known, [resource])
    if entry.stage != stage.value:
        client.update_model_version(
            model_name_or_id=model.id, version_name_or_id=entry.id, stage=stage.value, force=True
        )
