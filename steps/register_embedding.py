"""Register the best cycle's embedding; it becomes the champion only through the gate."""

from __future__ import annotations

from typing import Annotated, Any

from zenml import step

from coti.core.image_set import ImageSet
from coti.core.images import encode_png
from coti.core.whole_files import temporary_folder
from coti.inversion.adapters.embedding import Embedding
from coti.loop.record import CycleRecord, with_judged
from coti.loop.verdict import Verdict
from coti.settings import PromotionSettings
from materializers.files import hash_of_tensors
from ops.registry.embedding_registry import PROPERTY_TAG, VOCABULARY_TAG, EmbeddingRegistry
from ops.registry.gate import gate_values
from ops.registry.promotion import OUTCOME_TAG, VERDICT_TAG, promote
from ops.registry.zenml_mirror import mirror_to_zenml
from ops.tracking.active_tracker import computed_before, open_record
from ops.tracking.metric_groups import in_group
from ops.tracking.tracked_embeddings import FILE

__all__ = ["register_embedding"]

CONCEPT_IMAGES = 10
"""Seeds kept with the record, for `coti registry export`."""


@step(enable_cache=False)
def register_embedding(
    concept: str,
    kept_embedding: Embedding,
    history: list[dict[str, Any]],
    decision: dict[str, Any],
    judged: list[dict[str, Any]],
    verdict: dict[str, Any],
    config: dict[str, Any],
    tags: dict[str, str],
    references_fingerprint: str,
    judge_fingerprint: str,
    promotion: PromotionSettings,
    vocabulary: str,
    seed_images: ImageSet,
) -> Annotated[dict[str, Any], "registration"]:
    """Version, alias and the gate's sentence; the same embedding is never registered twice."""
    records = with_judged([CycleRecord.of(row) for row in history], judged)
    best = next(each for each in records if each.cycle == decision["kept_cycle"]).row()
    record = open_record(concept, config, tags)
    with temporary_folder() as folder:
        path = kept_embedding.save(folder / FILE)
        sha256 = record.log_embedding(record.parent_id, path)
        for number, image in enumerate(seed_images.images[:CONCEPT_IMAGES]):
            pil_image = folder / f"{number}.png"
            pil_image.write_bytes(encode_png(image))
            record.log_file(record.parent_id, pil_image, "concept_images")
    metrics = gate_values(best, references_fingerprint, judge_fingerprint)
    record.log_metrics(
        record.parent_id,
        in_group("best", {key: value for key, value in best.items() if key != "cycle"}),
        int(best["cycle"]),
    )
    registry = EmbeddingRegistry(record.client, concept)
    artifact = record.client.get_run(record.parent_id).info.artifact_uri
    version = registry.register(
        source=f"{artifact}/embedding",
        run_id=record.parent_id,
        key=hash_of_tensors(kept_embedding.named_parts),
        sha256=sha256,
        metrics=metrics,
        tags={
            **tags,
            OUTCOME_TAG: verdict["outcome"],
            "coti.concept": concept,
            PROPERTY_TAG: str(config["token"]["learnable_property"]),
            VOCABULARY_TAG: vocabulary,
        },
    )
    gate = promote(registry, version, promotion)
    record.set_tags(
        record.parent_id,
        {
            "coti.version": str(version.version),
            VERDICT_TAG: gate.reason,
            OUTCOME_TAG: verdict["outcome"],
            "coti.outcome_reasons": " ".join(verdict["reasons"]),
            "coti.decision": decision["reason"],
            "coti.kept_cycle": str(decision["kept_cycle"]),
        },
    )
    said = [
        f"**{Verdict.of(verdict).sentence}**",
        str(decision["reason"]),
        f"{registry.name} version {version.version}: {gate.reason}",
    ]
    record.describe(record.parent_id, "\n\n".join(said), computed_before("history"))
    mirror_to_zenml(registry)
    return {
        "model": registry.name,
        "version": int(version.version),
        "promoted": gate.promoted,
        "reason": gate.reason,
        "mlflow_run": record.parent_id,
        "mlflow_experiment": record.experiment_id,
    }
