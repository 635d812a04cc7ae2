from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from coti.core.errors import PoolError
from coti.metrics.frechet import frechet_distance
from coti.metrics.ground_truth import read_ground_truth
from coti.metrics.judge import (
    candidate_captions,
    embed_references,
    enough_images,
    images_needed,
    judge_images,
    shortfalls,
)
from coti.metrics.table import METRICS, Need
from coti.settings import EvaluationSettings

SETTINGS = EvaluationSettings(captions=("dog", "cat"), kid_subsets=4, kid_subset_size=6)


class MeanColour:
    """An image-text model whose features are mean colours; red is a dog, green a cat."""

    name = "mean colour"
    size = 3
    input_size = 4

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """Mean of each channel, 0 to 1."""
        return images.float().mean(dim=(2, 3)) / 255

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """One axis a name."""
        axes = {"dog": 0, "cat": 1}
        return torch.stack([torch.eye(3)[axes.get(text.split()[-1], 2)] for text in texts])


def _images(count: int, channel: int, seed: int) -> torch.Tensor:
    images = torch.randint(
        0, 60, (count, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    images[:, channel] += 150
    return images


def test_the_concepts_caption_is_always_a_candidate() -> None:
    """Added where it is missing, not repeated where it is there."""
    assert candidate_captions("cat", SETTINGS) == ["a photo of a dog", "a photo of a cat"]
    assert candidate_captions("owl", SETTINGS)[-1] == "a photo of a owl"


def test_the_verdict_is_the_metrics_on_the_judges_features() -> None:
    """R-precision 1 for images of the caption, and the distance is that of the features."""
    judge, real, generated = MeanColour(), _images(12, 1, 0), _images(12, 1, 1)
    references = embed_references(judge, "cat", real, SETTINGS)
    verdict = judge_images(judge, generated, references, "cat", SETTINGS, seed=0)
    assert verdict["r_precision"] == 1.0
    assert verdict["r_precision_candidates"] == 2
    assert verdict["r_precision_chance"] == 0.5
    assert verdict["r_precision_low"] < 1 == pytest.approx(verdict["r_precision_high"])
    assert verdict["fd_judge"] == frechet_distance(
        judge.encode_images(generated), judge.encode_images(real)
    )
    assert verdict["kid_low"] <= verdict["kid"] <= verdict["kid_high"]


def test_without_references_the_distances_are_missing() -> None:
    """R-precision needs captions alone."""
    judge = MeanColour()
    references = embed_references(judge, "cat", None, SETTINGS)
    verdict = judge_images(judge, _images(2, 0, 0), references, "cat", SETTINGS, seed=0)
    assert verdict["r_precision"] == 0.0
    assert verdict["r_precision_candidates"] == 2
    assert not [name for name in verdict if "references" in METRICS[name].needs]


def test_too_few_images_leave_the_frechet_distance_out() -> None:
    """It is missing, not perfect; KID stays, with an interval that is one."""
    judge = MeanColour()
    judge.size = 8
    for real, generated in ((12, 4), (4, 12), (6, 6)):
        references = embed_references(judge, "cat", _images(real, 1, 0), SETTINGS)
        verdict = judge_images(judge, _images(generated, 1, 1), references, "cat", SETTINGS, 0)
        assert "fd_judge" not in verdict
        assert verdict["kid_low"] < verdict["kid"] < verdict["kid_high"]


def test_one_candidate_leaves_r_precision_out() -> None:
    """The concept's own caption alone would always be right."""
    judge, alone = MeanColour(), EvaluationSettings(captions=())
    references = embed_references(judge, "cat", None, alone)
    verdict = judge_images(judge, _images(4, 1, 0), references, "cat", alone, 0)
    assert not [name for name in verdict if METRICS[name].needs]


@pytest.mark.parametrize("captions", [(), ("dog",)])
@pytest.mark.parametrize("authors", [False, True])
@pytest.mark.parametrize("real", [0, 2, 4, 12])
def test_the_verdict_is_what_the_table_says_can_be_measured(
    captions: tuple[str, ...], authors: bool, real: int
) -> None:
    """Exactly the metrics that may not steer and whose needs are there, whatever is."""
    settings = EvaluationSettings(captions=captions, authors_r_precision=authors, kid_subsets=2)
    judge, inception, blind = MeanColour(), MeanColour(), MeanColour()
    inception.size = 6
    images = _images(real, 1, 0) if real else None
    references = embed_references(judge, "cat", images, settings, inception, blind)
    there: set[Need] = {"captions"} if captions else set()
    there |= {"authors_captions"} if authors else set()
    there |= {"references"} if real >= 4 else set()
    there |= enough_images(8, real, images_needed(judge, inception, blind))
    generated = _images(8, 1, 1)
    verdict = judge_images(judge, generated, references, "cat", settings, 0, inception, blind)
    assert set(verdict) == {
        name
        for name, metric in METRICS.items()
        if metric.cycle and not metric.steers and metric.measurable(there)
    }


def test_what_will_be_missing_is_known_before_anything_is_trained() -> None:
    """A sentence a need: what for, how many there are, which setting to raise."""
    needed: dict[Need, int] = {"judge_images": 64, "inception_images": 2048, "ssl_judge_images": 65}
    fid, blind = shortfalls(64, 100, needed)
    assert "FID will be missing: 2048 images on both sides are needed" in fid
    assert "100 references and 64 generations (generation.cycle_images)" in fid
    assert "fd_ssl, KID ssl, precision, density, coverage, recall will be missing: 65" in blind


def test_ground_truth_counts_undegraded_images_of_the_concept(tmp_path: Path) -> None:
    """Degraded ones and other classes are not clean."""
    path = tmp_path / "ground_truth.csv"
    path.write_text("file_name,class,degradation\na,cat,\nb,cat,blur\nc,dog,\n", encoding="utf-8")
    assert read_ground_truth(path, "cat") == {"a": True, "b": False, "c": False}
    path.write_text("file_name\na\n", encoding="utf-8")
    with pytest.raises(PoolError, match="columns"):
        read_ground_truth(path, "cat")
    with pytest.raises(PoolError, match="cannot be read"):
        read_ground_truth(tmp_path / "none.csv", "cat")
