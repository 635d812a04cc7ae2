"""Starting ratings and starting head of the aesthetic scorer, from graded degradations.

``python -m assets.build.ratings`` writes ``assets/models/aesthetic/``:

- ``ratings.safetensors``: scorer features of clean and degraded images of split ``base`` with
  ratings from 9.0 (clean) down to 1.0 (severity 5), replayed whenever the head is fine-tuned;
- ``aesthetic_head.safetensors``: a head fitted to a larger set of the same kind, Linear - ReLU -
  Linear, under the keys of that ``nn.Sequential``.

Inputs of the head are L2-normalised image features of the scorer; its output, clamped to
[0, 10], is S_aes (Eq. 7 of Yang et al. 2023). ``... ratings --measure`` prints how well the
head ranks images of split ``reference``, which neither scorer nor head has seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from safetensors.torch import load_file, save_file
from torch import nn

from assets.build import world
from assets.build.clip_models import MODELS, encode
from assets.build.degrade import DEGRADATIONS, MAX_SEVERITY, degrade

CLEAN_RATING = 9.0
RATING_STEP = 1.6
"""An image of severity s is rated ``CLEAN_RATING - RATING_STEP * s``."""

HIDDEN = 64
TRAINED_A_CLASS = 1000
REPLAYED_A_CLASS = 80
HELD_OUT_A_CLASS = 100
POOL_SEVERITIES = (3, 4, 5)


@dataclass(frozen=True)
class RatedFeatures:
    """Features of images and what is known about each."""

    features: torch.Tensor
    """float32 [n, d], L2-normalised."""
    severities: npt.NDArray[np.int64]
    """[n], 0 (clean) to 5."""
    kinds: npt.NDArray[np.int64]
    """[n], index in ``DEGRADATIONS``, -1 for clean."""
    classes: npt.NDArray[np.int64]
    """[n], index in ``world.CLASS_NAMES``."""

    @property
    def ratings(self) -> torch.Tensor:
        """float32 [n], 1.0 to 9.0."""
        return torch.from_numpy(CLEAN_RATING - RATING_STEP * self.severities).float()

    def only(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> RatedFeatures:
        """Some of the rows."""
        return RatedFeatures(
            self.features[torch.from_numpy(rows)],
            self.severities[rows],
            self.kinds[rows],
            self.classes[rows],
        )


def rated_features(scorer: Path, split: str, first: int, last: int, seed: int) -> RatedFeatures:
    """Images ``first`` to ``last`` of each class, each once clean and once degraded.

    Kinds and severities 1 to 5 are drawn evenly.
    """
    rng = np.random.default_rng(seed)
    images, severities, kinds, classes = [], [], [], []
    for label in range(len(world.CLASS_NAMES)):
        for image in world.split_of_class(split, label)[first:last]:
            kind = int(rng.integers(len(DEGRADATIONS)))
            severity = int(rng.integers(1, MAX_SEVERITY + 1))
            images += [image, degrade(image, DEGRADATIONS[kind], severity, rng)]
            severities += [0, severity]
            kinds += [-1, kind]
            classes += [label, label]
    features = functional.normalize(encode(scorer, np.stack(images)), dim=-1)
    return RatedFeatures(features, np.array(severities), np.array(kinds), np.array(classes))


def fit_head(
    rated: RatedFeatures, seed: int = 0, epochs: int = 15, learning_rate: float = 3e-3
) -> nn.Sequential:
    """Fit Linear - ReLU - Linear to ratings: least squares with Adam, batches of 256.

    Features of length 1 have coordinates of about ``1 / sqrt(d)``; they are scaled to 1 while
    fitting, and the factor is folded into the first layer's weight afterwards.
    """
    torch.manual_seed(seed)
    width = rated.features.shape[1]
    scale = width**0.5
    first, last = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, 1)
    head = nn.Sequential(first, nn.ReLU(), last)
    features, targets = rated.features * scale, (rated.ratings - 5.0) / 4.0
    optimizer = torch.optim.AdamW(head.parameters(), learning_rate, weight_decay=1e-2)
    batch = 256
    steps = epochs * -(-len(features) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(features)).split(batch):  # type: ignore[no-untyped-call]
            loss = functional.mse_loss(head(features[rows])[:, 0], targets[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        first.weight.mul_(scale)
        last.weight.mul_(4.0)
        last.bias.mul_(4.0).add_(5.0)
    return head


@torch.inference_mode()
def score(head: nn.Module, features: torch.Tensor) -> npt.NDArray[np.float32]:
    """S_aes [n], 0 to 10, of L2-normalised features [n, d]."""
    values: npt.NDArray[np.float32] = head(features)[:, 0].clamp(0, 10).numpy()
    return values


def load_head(folder: Path) -> nn.Sequential:
    """The head of ``aesthetic_head.safetensors``."""
    state = load_file(folder / "aesthetic_head.safetensors")
    hidden, width = state["0.weight"].shape
    head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
    head.load_state_dict({name: value.float() for name, value in state.items()})
    return head


def _ranks(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Ranks from 0, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[inverse]


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Spearman's rank correlation of two rows of numbers, -1 to 1."""
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def area_under_curve(better: npt.ArrayLike, worse: npt.ArrayLike) -> float:
    """Chance that one of ``better`` is above one of ``worse``, 0 to 1; ties count half."""
    above, below = np.asarray(better), np.asarray(worse)
    ranks = _ranks(np.concatenate([above, below]))[: len(above)]
    return float((ranks.mean() - (len(above) - 1) / 2) / len(below))


def measure(
    scorer: Path = MODELS / "scorer", aesthetic: Path = MODELS / "aesthetic"
) -> dict[str, object]:
    """How well quality is told, on images that neither scorer nor head has seen.

    Returns:
        ``spearman``: of the shipped head's scores with minus the severity, over all ten classes;
        ``spearman_by_degradation``: the same for the degraded images of each kind;
        ``auc_unseen_concept``: for each benchmark concept, clean against degraded as in a pool
        (severity 3 to 5), with a head fitted without that concept;
        ``auc_unseen_concept_all``: the same against severities 1 to 5.
    """
    held = rated_features(scorer, "reference", 0, HELD_OUT_A_CLASS, seed=2)
    scores = score(load_head(aesthetic), held.features)
    result: dict[str, object] = {"spearman": round(spearman(scores, -held.severities), 4)}
    result["spearman_by_degradation"] = {
        name: round(spearman(scores[held.kinds == kind], -held.severities[held.kinds == kind]), 4)
        for kind, name in enumerate(DEGRADATIONS)
    }
    train = rated_features(scorer, "base", 0, TRAINED_A_CLASS, seed=1)
    severe, every = {}, {}
    for name in world.BENCHMARK_CONCEPTS:
        label = world.CLASS_NAMES.index(name)
        head = fit_head(train.only(train.classes != label))
        mine = held.only(held.classes == label)
        mine_scores = score(head, mine.features)
        better = mine_scores[mine.severities == 0]
        as_in_pools = mine_scores[np.isin(mine.severities, POOL_SEVERITIES)]
        severe[name] = round(area_under_curve(better, as_in_pools), 4)
        every[name] = round(area_under_curve(better, mine_scores[mine.severities > 0]), 4)
    result["auc_unseen_concept"] = severe
    result["auc_unseen_concept_all"] = every
    return result


def write(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file that everybody may read."""
    save_file(tensors, path, metadata=metadata)
    path.chmod(0o644)


def build(scorer: Path, folder: Path) -> None:
    """Write replayed ratings and starting head to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    train = rated_features(scorer, "base", 0, TRAINED_A_CLASS, seed=1)
    a_class = 2 * TRAINED_A_CLASS
    rows = np.concatenate(
        [np.arange(REPLAYED_A_CLASS) + a_class * label for label in range(len(world.CLASS_NAMES))]
    )
    replay = train.only(rows)
    weights = scorer / "open_clip_model.safetensors"
    about = {
        "scorer_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "split": "base",
        "classes": ",".join(world.CLASS_NAMES),
        "kinds": ",".join(DEGRADATIONS),
        "features": "L2-normalised encode_image",
        "feature_scale": "1",
        "rating": f"{CLEAN_RATING} - {RATING_STEP} * severity",
    }
    write(
        {
            "features": replay.features.half().contiguous(),
            "ratings": replay.ratings,
            "severity_ids": torch.from_numpy(replay.severities),
            "kind_ids": torch.from_numpy(replay.kinds),
            "class_ids": torch.from_numpy(replay.classes),
        },
        folder / "ratings.safetensors",
        metadata=about,
    )
    head = fit_head(train)
    write(
        {name: value.half().contiguous() for name, value in head.state_dict().items()},
        folder / "aesthetic_head.safetensors",
        metadata={**about, "architecture": "Linear-ReLU-Linear", "output": "clamped to [0, 10]"},
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Build and measure from the command line."""
    parser = argparse.ArgumentParser(description="build the starting aesthetic head and ratings")
    parser.add_argument("--scorer", type=Path, default=MODELS / "scorer")
    parser.add_argument("--output", type=Path, default=MODELS / "aesthetic")
    parser.add_argument("--measure", action="store_true", help="build nothing")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    if not given.measure:
        build(given.scorer, given.output)
    print(json.dumps(measure(given.scorer, given.output), indent=2))


if __name__ == "__main__":
    main()
