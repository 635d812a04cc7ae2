"""The bundled scorer, judge and aesthetic head: they load as open_clip models and are good."""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from assets.build import clip_captions, clip_models, ratings, world
from assets.build.degrade import DEGRADATIONS, degrade

ASSETS = Path(__file__).parents[2] / "assets"
REFERENCES = ASSETS / "pools" / "ankle_boot" / "references"
ROLES = ("scorer", "judge")
TARGET = {"scorer": 0.88, "judge": 0.90}

needs_world = pytest.mark.skipif(
    not (
        Path(os.environ.get(world.FOLDER_VARIABLE, world.DEBIAN_FOLDER))
        / "t10k-images-idx3-ubyte.gz"
    ).is_file(),
    reason=f"Fashion-MNIST is not here (Debian: dataset-fashion-mnist, or {world.FOLDER_VARIABLE})",
)


def _references(count: int) -> npt.NDArray[np.uint8]:
    """Some of the committed references, uint8 [count, 32, 32]."""
    paths = sorted(REFERENCES.iterdir())[:count]
    return np.stack([np.asarray(Image.open(path).convert("L")) for path in paths])


@pytest.mark.parametrize("role", ROLES)
def test_loads_like_any_model_of_open_clip(role: str) -> None:
    """Model, preprocessing and tokenizer come out of open_clip's own functions and agree."""
    import open_clip

    name = f"local-dir:{ASSETS / 'models' / role}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    tokenizer = open_clip.get_tokenizer(name)
    path = next(iter(sorted(REFERENCES.iterdir())))
    with torch.inference_mode():
        image = model.encode_image(preprocess(Image.open(path))[None])
        text = model.encode_text(tokenizer(["a photo of an ankle boot"]))
    assert image.shape == text.shape == (1, clip_models.RECIPES[role].embed_dim)
    ours = clip_models.encode(ASSETS / "models" / role, _references(1))
    torch.testing.assert_close(ours, image, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("role", ROLES)
def test_weights_are_half_precision_and_small(role: str) -> None:
    """All floating tensors are float16; words that were never read have zero vectors."""
    path = ASSETS / "models" / role / "open_clip_model.safetensors"
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert {t.dtype for t in tensors.values() if t.is_floating_point()} == {torch.float16}
    assert all(bool(torch.isfinite(t).all()) for t in tensors.values())
    read = (tensors["token_embedding.weight"] != 0).any(dim=1)
    assert 20 < int(read.sum()) < 400
    assert path.stat().st_size < 15e6


def test_configs_are_the_recipes() -> None:
    """What is shipped is what the builder would build; scorer and judge differ in their towers."""
    towers = []
    for role in ROLES:
        path = ASSETS / "models" / role / "open_clip_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        assert config == clip_models.RECIPES[role].config()
        towers.append(config["model_cfg"]["vision_cfg"])
    assert towers[0] != towers[1]
    assert clip_models.RECIPES["scorer"].split != clip_models.RECIPES["judge"].split


@pytest.mark.parametrize("role", ROLES)
def test_knows_committed_references(role: str) -> None:
    """Among the ten names, ankle boots are recognised as such."""
    label = world.CLASS_NAMES.index("ankle boot")
    images = _references(300)
    accuracy = clip_models.reference_accuracy(
        ASSETS / "models" / role, images, np.full(len(images), label)
    )
    assert accuracy >= 0.9


@needs_world
@pytest.mark.parametrize("role", ROLES)
def test_prompt_classification_meets_target(role: str) -> None:
    """Prompt classification over all ten classes, on a fifth of the references."""
    images, labels = world.load_split("reference")
    accuracy = clip_models.reference_accuracy(ASSETS / "models" / role, images[::5], labels[::5])
    assert accuracy >= TARGET[role]


def test_head_ranks_degraded_references() -> None:
    """The shipped head's scores fall with severity on images it has never seen."""
    rng = np.random.default_rng(0)
    severities = np.tile(np.arange(6), 50)
    images = np.stack(
        [
            degrade(image, DEGRADATIONS[row % 7], int(severity), rng)
            for row, (image, severity) in enumerate(zip(_references(300), severities, strict=True))
        ]
    )
    features = clip_models.encode(ASSETS / "models" / "scorer", images)
    features = torch.nn.functional.normalize(features, dim=-1)
    scores = ratings.score(ratings.load_head(ASSETS / "models" / "aesthetic"), features)
    assert scores.min() >= 0
    assert scores.max() <= 10
    assert ratings.spearman(scores, -severities) >= 0.8


def test_replayed_ratings_fit_the_scorer() -> None:
    """Ratings are 1 to 9, on normalised features of the scorer's width, equal for each class."""
    path = ASSETS / "models" / "aesthetic" / "ratings.safetensors"
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        assert file.metadata()["kinds"].split(",") == list(DEGRADATIONS)
        scorer = ASSETS / "models" / "scorer" / "open_clip_model.safetensors"
        digest = hashlib.sha256(scorer.read_bytes()).hexdigest()
        assert file.metadata()["scorer_sha256"] == digest, "run assets.build.ratings again"
    features, given = tensors["features"], tensors["ratings"]
    assert features.dtype == torch.float16
    assert features.shape == (len(given), clip_models.RECIPES["scorer"].embed_dim)
    torch.testing.assert_close(
        features.float().norm(dim=1), torch.ones(len(given)), atol=2e-3, rtol=0
    )
    assert (float(given.min()), float(given.max())) == (1.0, 9.0)
    assert len(set(tensors["class_ids"].bincount().tolist())) == 1
    torch.testing.assert_close(given, 9.0 - 1.6 * tensors["severity_ids"].float())


def test_statistics_on_known_numbers() -> None:
    """Rank correlation and area under the curve agree with values computed by hand."""
    assert ratings.spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1.0)
    assert ratings.spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert ratings.spearman([1, 1, 2, 3], [1, 2, 3, 4]) == pytest.approx(0.9486833)
    assert ratings.area_under_curve([2, 3], [0, 1]) == 1.0
    assert ratings.area_under_curve([1, 1], [1, 1]) == 0.5
    assert ratings.area_under_curve([0, 2], [1, 3]) == 0.25


def test_captions_name_thing_and_quality() -> None:
    """Captions hold the class name, and the degree of the degradation in words."""
    rng = random.Random(0)
    label = world.CLASS_NAMES.index("coat")
    blur = DEGRADATIONS.index("blur")
    assert "coat" in clip_captions.caption(label, clip_captions.ANY_QUALITY, 0, rng)
    assert clip_captions.caption(label, blur, 5, rng).startswith("a very blur")
    assert clip_captions.caption(label, blur, 3, rng).startswith("a blur")
    assert clip_captions.caption(label, blur, 1, rng).startswith("a slightly blur")


def test_equal_captions_of_a_batch_are_merged() -> None:
    """Images of one class and quality share one caption, so none is another's negative."""
    labels = torch.tensor([4, 4, 9, 4])
    kinds = torch.tensor([-1, -1, -1, 0])
    severities = torch.tensor([0, 0, 0, 5])
    texts, target = clip_captions.captions_of_batch(labels, kinds, severities, random.Random(0))
    assert len(texts) == 3
    assert target.tolist() == [0, 0, 1, 2]


def test_augmentation_keeps_images_in_range() -> None:
    """Augmentation keeps shape and type, and equal generators give equal images."""
    images = torch.from_numpy(_references(8))
    one, two = (
        clip_models.augment(images, 0.5, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert one.shape == images.shape
    assert one.dtype == torch.uint8
    assert torch.equal(one, two)
