"""Latents in a ZenML artifact store on a real S3 server, read by the training that comes next."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.coti.pool.s3_server import ACCESS, SECRET, client, s3_server
from tests.e2e.conftest import Workspace, make_checkout
from tests.warm_start import warm_start

pytestmark = pytest.mark.slow

BUCKET = "coti-artifacts"

TRAINING = """
import json, os, signal, sys
from dataclasses import replace

import torch

from coti.inversion.base_model import load_text_to_image
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.trainer import train_cycle
from coti.scores.formulas import PhiValue
from coti.settings import ModelSettings, ScheduleSettings, TokenSettings, TrainSettings
from ops.stack.checkpoints import ArtifactStoreLatents

torch.set_num_threads(1)
model = load_text_to_image(ModelSettings(device="cpu", dtype="float32"))
encode, encoded = model.vae.encode, []
model.vae.encode = lambda pixels: encoded.append(len(pixels)) or encode(pixels)
drawn = torch.Generator().manual_seed(0)
images = torch.randint(0, 256, (512, 3, 32, 32), generator=drawn).to(torch.uint8)
start = Embedding.initial(model, TokenSettings("<boot>", "foot"))
settings = TrainSettings(
    batch_size=2, max_steps=2, phi_every=1, horizontal_flip=False, keep_latents_from=1
)

def phi(embedding, step):
    if "killed" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return PhiValue(1.0, 1.0, 1.0)

def train(images, settings, store):
    encoded.clear()
    learned = train_cycle(
        model, images, None, start, settings, ScheduleSettings(), phi, 0, latent_store=store
    )
    return sum(encoded), learned.embedding.parts[0]

store = ArtifactStoreLatents()
assert store.root.startswith("s3://")
if "killed" in sys.argv:
    train(images, settings, store)
longer = replace(settings, max_steps=3, learning_rates=(0.01,))
again, with_kept = train(images, longer, store)
anew, without = train(images, longer, None)
fewer, _ = train(images[:511], longer, store)
print(json.dumps([again, anew, fewer, torch.equal(with_kept, without)]))
"""
"""Two trainings on 512 images of the bundled model: 8 x 8 x 4 numbers for mean and for standard
deviation, in all 1 MiB. The first dies in its first steps."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the bucket for artifacts."""
    with s3_server(tmp_path_factory.mktemp("weed")) as endpoint:
        client(endpoint).create_bucket(Bucket=BUCKET)
        yield endpoint


def _train(space: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    return warm_start().run(["-c", TRAINING, *words], space.root, space.env)


def _kept(server: str) -> dict[str, Any]:
    (only,) = client(server).list_objects_v2(Bucket=BUCKET, Prefix="runs/coti_latents/")["Contents"]
    return dict(only)


def test_a_killed_trainings_latents_are_read_by_the_next_one(server: str, tmp_path: Path) -> None:
    """Kept whole before the first step; other settings find them, encode nothing and learn the
    same as without them. Below keep_latents_from, none are kept."""
    space = make_checkout(tmp_path)
    space.extra.update(
        {
            "COTI_S3_BUCKET": BUCKET,
            "COTI_S3_PREFIX": "runs",
            "COTI_S3_ENDPOINT": server,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }
    )
    done = space.command("coti", "stack", "up", "s3")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    done = _train(space, "killed")
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    before = _kept(server)
    assert before["Key"].endswith(".safetensors")
    assert 1 << 20 < before["Size"] < (1 << 20) + 1000

    done = _train(space)
    assert done.returncode == 0, done.stderr[-3000:]
    again, anew, fewer, same = json.loads(done.stdout.strip().splitlines()[-1])
    assert (again, anew, fewer) == (0, 512, 511)
    assert same
    assert _kept(server) == before
