from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from coti.core.errors import MetricError, PoolError
from coti.metrics.frechet import frechet_distance
from coti.metrics.judge import candidate_captions, embed_references, judge_images, read_ground_truth
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
    judge, real, drawn = MeanColour(), _images(12, 1, 0), _images(12, 1, 1)
    references = embed_references(judge, "cat", real, SETTINGS)
    verdict = judge_images(judge, drawn, references, "cat", SETTINGS, seed=0)
    assert verdict["r_precision"] == 1.0
    assert verdict["r_precision_candidates"] == 2
    assert verdict["fd_judge"] == frechet_distance(
        judge.encode_images(drawn), judge.encode_images(real)
    )
    assert verdict["kid_low"] <= verdict["kid"] <= verdict["kid_high"]
    assert (verdict["generated"], verdict["references"]) == (12, 12)


def test_without_references_the_distances_stay_empty() -> None:
    """R-precision needs captions alone."""
    judge = MeanColour()
    references = embed_references(judge, "cat", None, SETTINGS)
    verdict = judge_images(judge, _images(2, 0, 0), references, "cat", SETTINGS, seed=0)
    assert verdict["r_precision"] == 0.0
    assert verdict["fd_judge"] is None
    assert verdict["kid"] is None


def test_fewer_images_than_features_are_refused() -> None:
    """The sentence says how many there are, how many are needed, and which setting to raise."""
    judge = MeanColour()
    references = embed_references(judge, "cat", _images(12, 1, 0), SETTINGS)
    with pytest.raises(MetricError, match=r"2 generated images .* generation\.cycle_images"):
        judge_images(judge, _images(2, 1, 1), references, "cat", SETTINGS, seed=0)


def test_too_few_images_are_known_before_anything_is_trained() -> None:
    """Once it is known how many will be drawn: neither those nor the references suffice."""
    judge = MeanColour()
    for references, generated, said in ((12, 2, "2 generated"), (2, 12, "2 reference")):
        with pytest.raises(MetricError, match=said):
            embed_references(judge, "cat", _images(references, 1, 0), SETTINGS, generated=generated)
    embed_references(judge, "cat", _images(3, 1, 0), SETTINGS, generated=3)


def test_truth_counts_undegraded_images_of_the_concept(tmp_path: Path) -> None:
    """Degraded ones and other classes are wrong."""
    path = tmp_path / "ground_truth.csv"
    path.write_text("file_name,class,degradation\na,cat,\nb,cat,blur\nc,dog,\n", encoding="utf-8")
    assert read_ground_truth(path, "cat") == {"a": True, "b": False, "c": False}
    path.write_text("file_name\na\n", encoding="utf-8")
    with pytest.raises(PoolError, match="columns"):
        read_ground_truth(path, "cat")
    with pytest.raises(PoolError, match="cannot be read"):
        read_ground_truth(tmp_path / "none.csv", "cat")
