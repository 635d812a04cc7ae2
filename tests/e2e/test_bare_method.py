"""``coti/`` in an environment without zenml, mlflow, pydantic: train, generate, score, select."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.slow]

LEFT_OUT = ("zenml", "mlflow", "coti", "__editable__", "sqlmodel")

SCRIPT = """
import importlib.util
for name in ("zenml", "mlflow"):
    assert importlib.util.find_spec(name) is None, name
import warnings
import torch
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.encoders.protocol import normalized
from coti.core.image_set import ImageSet
from coti.core.images import read_image_folder
from coti.inversion.base_model import load_text_to_image
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.trainer import train_cycle
from coti.generation.fixed_noise import generate_fixed
from coti.loop.inputs import Encoders
from coti.loop.fit_scorers import finetune_aesthetic_scorer, fit_concept_scorer
from coti.loop.state import LoopState
from coti.loop.training_set import TrainingSet
from coti.scores.features_to_scores import embed_images, score_candidates
from coti.selection.batch import select_batch
from coti.settings import *
names, images = read_image_folder("assets/pools/ankle_boot/seeds", 32)
model = load_text_to_image(ModelSettings())
encoder = load_image_text_encoder("assets/models/scorer")
seeds = ImageSet(names, images)
pool = ImageSet([f"p{i}" for i in range(20)], torch.randint(0, 255, (20, 3, 32, 32)).byte())
features = embed_images(encoder, None, pool, seeds, ())
settings = RunSettings("ankle boot", aesthetic=AestheticSettings(steps=5))
state, encoders = LoopState(TrainingSet(tuple(names))), Encoders(encoder)
head = finetune_aesthetic_scorer(state, features, {}, seeds, encoders, settings)
concept = fit_concept_scorer(state, features, settings)
scorer = encoders.with_scores(head, concept)
generation = GenerationSettings(num_inference_steps=2)
embedding = Embedding.initial(model, TokenSettings(initializer="foot"))
result = train_cycle(
    model, images, None, embedding, TrainSettings(max_steps=2, batch_size=2, phi_every=1),
    ScheduleSettings(),
    lambda e, step: scorer.indicator(generate_fixed(model, e, generation, 4, 0, "phi").images), 0,
)
columns = score_candidates(features, head, concept, 1.0, 1.0, 0.3)
picked = select_batch(torch.tensor(columns["s_int"]), torch.ones(20, dtype=torch.bool), 5)
print(result.steps, len(picked))
"""


def test_the_method_needs_neither_zenml_nor_mlflow(tmp_path: Path) -> None:
    """One training of two steps with φ, then scores and a selection, in such an environment."""
    installed = Path(sysconfig.get_paths()["purelib"])
    bare = tmp_path / "site"
    bare.mkdir()
    for path in installed.iterdir():
        if not path.name.lower().startswith(LEFT_OUT) and path.suffix != ".pth":
            (bare / path.name).symlink_to(path)
    only = tmp_path / "only"
    only.mkdir()
    (only / "coti").symlink_to(ROOT / "coti")
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{only}:{bare}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-S", "-W", "ignore", "-c", SCRIPT],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["2", "5"]
