"""The pool's part of the pipeline alone, from the same steps: ``python -m … FOLDER SHARD DEVICE``.

Prints one JSON object last: statuses by invocation, what the terminal is told, what was gathered.
With ``--damage`` a bit of every artifact is flipped at the end, and those of two steps are read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ops.quiet import quiet_terminal

quiet_terminal()

import zenml  # noqa: E402
from zenml import ExternalArtifact  # noqa: E402
from zenml.client import Client  # noqa: E402
from zenml.models import PipelineRunResponse  # noqa: E402

from coti.pool.pool_images import PoolImages  # noqa: E402
from coti.settings import ImageSettings, ModelSettings, PoolSettings, RunSettings  # noqa: E402
from materializers.files import DamagedArtifactError  # noqa: E402
from ops.stack.input_hashes import fingerprint_pool  # noqa: E402
from ops.stack.verified_cache import verify_cache  # noqa: E402
from ops.tracking.pool_history import last_profile  # noqa: E402
from pipelines.loops import embed_shards  # noqa: E402
from steps.embed_pool import embed_pool  # noqa: E402
from steps.gather_features import gather_features  # noqa: E402
from steps.ingest_pool import ingest_pool  # noqa: E402
from steps.load_seeds import load_seeds  # noqa: E402
from steps.shard_pool import shard_pool  # noqa: E402
from steps.validate_pool import validate_pool  # noqa: E402
from tests.adversary.bit_flips import files_of, flip_bit  # noqa: E402

verify_cache()
STEPS = [ingest_pool, validate_pool, load_seeds, shard_pool, embed_pool, gather_features]


@zenml.pipeline(name="pool_only", dynamic=True, depends_on=STEPS, enable_cache=True)
def pool_only(folder: str, shard: int, device: str) -> None:
    """Ingest, validate, embed in shards and gather, as ``coti_concept`` does."""
    rules = PoolSettings(
        workers=1, feature_shard=shard, near_duplicate_cosine=0.9999, near_duplicate_bits=-1
    )
    fingerprint = fingerprint_pool(folder, rules)
    manifest, images, source = ingest_pool(folder, fingerprint, 32, ImageSettings(), rules)
    accepted, quarantined, *_ = validate_pool(
        *(manifest, images, source, ImageSettings(), rules, 1),
        last_profile(folder, fingerprint),
    )
    seeds, _ = load_seeds(folder, "seeds", 32, ImageSettings())
    settings = RunSettings(pool_rules=rules, model=ModelSettings(device=device))
    encoding: dict[str, Any] = {
        "settings": settings.only("scorer", "concept_score", "model", "pool_rules"),
        "device": ExternalArtifact(value=device),
        "scorer_fingerprint": "scorer",
        "model_fingerprint": "model",
    }
    gather_features(
        shards=embed_shards(shard_pool(accepted, shard), images, encoding),
        accepted=accepted,
        quarantined=quarantined,
        seed_images=seeds,
        text="ankle boot",
        negatives_fingerprint="",
        **encoding,
    )


def damage(run: PipelineRunResponse) -> list[str]:
    """Flip a bit of every file that the run's steps put out, and say what reading some gives."""
    said = []
    for name, step in run.steps.items():
        for seed, (version,) in enumerate(step.outputs.values()):
            for path in files_of(Path(version.uri)):
                flip_bit(path, seed)
            if name in ("ingest_pool", "validate_pool"):
                try:
                    loaded = version.load()
                    if isinstance(loaded, PoolImages):
                        loaded.check()  # each image when it is read
                except DamagedArtifactError as error:
                    said.append(error.what)
    return said


def main(folder: str, shard: int, device: str, *more: str) -> dict[str, Any]:
    """Run it and say what came of it."""
    pool_only(folder=folder, shard=shard, device=device)
    run = Client().list_pipeline_runs(size=1, sort_by="desc:created").items[0]
    gathered = {k: v[0].load() for k, v in run.steps["gather_features"].outputs.items()}
    validation = run.steps["validate_pool"].outputs["validation_result"][0].load()
    found = {
        "status": run.status.value,
        "steps": {name: step.status.value for name, step in run.steps.items()},
        "source": run.steps["ingest_pool"].outputs["pool_source"][0].load(),
        "drift": validation["drift"],
        "ids": gathered["features"].strings("pool_ids"),
        "rows": len(gathered["features"]["pool"]),
        "accepted": list(gathered["accepted"]["id"]),
        "quarantined": dict(
            zip(gathered["quarantined"]["source"], gathered["quarantined"]["reason"], strict=True)
        ),
    }
    return {**found, "damaged": damage(run) if more else []}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])))
