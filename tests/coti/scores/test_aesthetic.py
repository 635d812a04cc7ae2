"""S_aes: the head, its fine-tuning and what it is fine-tuned on."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from coti.core.errors import ModelError, PoolError
from coti.encoders.protocol import normalized
from coti.scores.aesthetic import (
    AestheticHead,
    Ratings,
    degraded_ratings,
    finetune_aesthetic_head,
    fold_affine_layers,
    load_aesthetic_head,
    load_ratings,
    load_user_ratings,
    rate_selected,
    replayed_ratings,
)
from coti.settings import AestheticSettings

WIDTH = 16


def rated(count: int, seed: int) -> Ratings:
    """Images whose rating can be seen in their features."""
    features = normalized(torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed)))
    return Ratings(features, (5 + 12 * features[:, 0]).clamp(0, 10))


def laion_layers() -> nn.Sequential:
    """The layers of LAION's head, random weights: 768→1024→128→64→16→1 without activations."""
    torch.manual_seed(0)
    sides = (768, 1024, 128, 64, 16, 1)
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sides)))


def test_folded_layers_equal_the_layers() -> None:
    """One affine map gives what LAION's five layers give, to 1e-5."""
    layers, features = laion_layers(), normalized(torch.randn(50, 768))
    weight, bias = fold_affine_layers(
        [layer.weight for layer in layers], [layer.bias for layer in layers]
    )
    with torch.no_grad():
        assert torch.allclose(features @ weight.T + bias, layers(features), atol=1e-5)


def test_laion_file_loads_folded(tmp_path: Path) -> None:
    """LAION's tensors, named as in its file, load as an affine head with the same ratings."""
    layers, features = laion_layers(), normalized(torch.randn(50, 768))
    names = (0, 2, 4, 6, 7)  # dropouts lie between
    tensors = {}
    for name, layer in zip(names, layers, strict=True):
        tensors[f"layers.{name}.weight"] = layer.weight.detach().half().contiguous()
        tensors[f"layers.{name}.bias"] = layer.bias.detach().half().contiguous()
    save_file(tensors, tmp_path / "laion.safetensors")
    head = load_aesthetic_head(tmp_path / "laion.safetensors")
    with torch.no_grad():
        assert torch.allclose(head.rating(features), layers(features)[:, 0], atol=1e-3)
    assert set(head.to_tensors()) == {"0.weight", "0.bias"}


def test_scores_keep_the_order_of_ratings_on_the_scale() -> None:
    """S_aes lies in [0, 10], and no two good images become equal."""
    head = AestheticHead.fresh(WIDTH, seed=0)
    with torch.no_grad():
        head[2].weight.mul_(20)  # type: ignore[operator,union-attr]
    features = rated(300, 1).features
    scores, ratings = head.score(features), head.rating(features)
    assert scores.min() >= 0
    assert scores.max() <= 10
    assert torch.equal(scores.argsort(), ratings.argsort())


def test_round_trip(tmp_path: Path) -> None:
    """A head that is written and read rates the same, affine or not; a fresh one is its seed's."""
    features = rated(9, 1).features
    for hidden in (None, 8):
        head = AestheticHead.fresh(WIDTH, 3, hidden)
        save_file(head.to_tensors(), tmp_path / "head.safetensors")
        assert torch.equal(
            load_aesthetic_head(tmp_path / "head.safetensors").score(features), head.score(features)
        )
        assert torch.equal(
            AestheticHead.fresh(WIDTH, 3, hidden).score(features), head.score(features)
        )


def test_finetuning_learns_and_leaves_the_start_alone() -> None:
    """Fine-tuning fits the ratings on images it did not see; θ_0 stays as it was."""
    start = AestheticHead.fresh(WIDTH, 0)
    before = start.to_tensors()
    tuned = finetune_aesthetic_head(start, [rated(500, 1)], AestheticSettings(steps=300), seed=0)
    unseen = rated(200, 2)
    error = (tuned.score(unseen.features) - unseen.ratings).abs().mean()
    assert error < 0.5 * (start.score(unseen.features) - unseen.ratings).abs().mean()
    assert all(torch.equal(before[key], value) for key, value in start.to_tensors().items())


def test_finetuning_is_deterministic() -> None:
    """The same ratings and seed give the same tensors, bit for bit; another seed does not."""
    start, ratings = AestheticHead.fresh(WIDTH, 0), [rated(100, 1), rated(10, 2)]
    settings = AestheticSettings(steps=20)
    one, two, other = (finetune_aesthetic_head(start, ratings, settings, s) for s in (1, 1, 2))
    for key, value in one.to_tensors().items():
        assert torch.equal(value, two.to_tensors()[key])
        assert value.shape == other.to_tensors()[key].shape
    assert not torch.equal(one.score(ratings[0].features), other.score(ratings[0].features))


def test_few_seeds_are_heard_and_nothing_is_forgotten() -> None:
    """Ten seeds rated 10 rise beside a thousand replayed ratings, whose order stays."""
    bundled = rated(1000, 1)
    start = finetune_aesthetic_head(
        AestheticHead.fresh(WIDTH, 0), [bundled], AestheticSettings(steps=400), seed=0
    )
    middling = bundled.features[(bundled.ratings - 6).abs() < 0.5]
    seeds = Ratings(normalized(middling.mean(0) + 0.3 * middling[:10]), torch.full((10,), 10.0))
    tuned = finetune_aesthetic_head(start, [bundled, seeds], AestheticSettings(), seed=0)
    assert tuned.score(seeds.features).mean() > start.score(seeds.features).mean() + 0.5
    unseen = rated(300, 3)
    both = torch.stack([tuned.score(unseen.features), unseen.ratings])
    assert torch.corrcoef(both)[0, 1] > 0.85
    assert tuned.score(unseen.features).unique().numel() > 290


def test_no_ratings_give_the_start() -> None:
    """Without ratings θ is θ_0."""
    start = AestheticHead.fresh(WIDTH, 0)
    empty = Ratings(torch.empty(0, WIDTH), torch.empty(0))
    tuned = finetune_aesthetic_head(start, [empty], AestheticSettings(), seed=0)
    assert torch.equal(tuned.score(rated(5, 1).features), start.score(rated(5, 1).features))


def test_selected_images_rise_to_ten() -> None:
    """``selected_start`` is the rating in the first fine-tuning after the selection; it rises each
    cycle, never beyond 10."""
    settings = AestheticSettings(selected_start=8.0, selected_rise=0.75)
    assert [rate_selected(1, cycle, settings) for cycle in range(2, 7)] == [8, 8.75, 9.5, 10, 10]


class MeanGrey:
    """An encoder of four features a test can foresee."""

    name = "mean grey"
    size = 4

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """Means of the four quarters."""
        return nn.functional.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), 2).flatten(1)


def test_degraded_seeds_cover_the_scale() -> None:
    """Every seed appears at all severities, rated the lower the worse, the same for one seed."""
    images = torch.randint(0, 255, (3, 3, 20, 24), dtype=torch.uint8)
    ratings = degraded_ratings(images, MeanGrey(), seed=0, variants=10)
    assert ratings.features.shape == (30, 4)
    expected = torch.tensor([1.0, 2.8, 4.6, 6.4, 8.2])
    assert torch.allclose(ratings.ratings.unique(), expected)
    assert torch.equal(ratings.features, degraded_ratings(images, MeanGrey(), 0, 10).features)


def test_user_ratings(tmp_path: Path) -> None:
    """A CSV with a byte-order mark, spaces and extra columns is read; names find their features."""
    (tmp_path / "r.csv").write_text("\ufefffile_name,who,rating\nb.png,me, 7.5\na.png,me,2\n")
    features = {"a.png": torch.tensor([1.0, 0.0]), "b.png": torch.tensor([0.0, 2.0])}
    ratings = load_user_ratings(tmp_path / "r.csv", features)
    assert ratings.ratings.tolist() == [7.5, 2.0]
    assert ratings.features.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_user_ratings_of_a_german_spreadsheet(tmp_path: Path) -> None:
    """Windows-1252, semicolons, decimal commas: what a spreadsheet writes there is read."""
    (tmp_path / "r.csv").write_bytes("file_name;rating\nBär.png;7,5\n".encode("cp1252"))
    ratings = load_user_ratings(tmp_path / "r.csv", {"Bär.png": torch.tensor([1.0])})
    assert ratings.ratings.tolist() == [7.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,rating\na.png,3\n", r"must have the columns file_name and rating, got \['file', "),
        ("file_name,rating\na.png,good\n", "line 2: rating must be a number from 0 to 10, got 'go"),
        ("file_name,rating\na.png,11\n", "line 2: rating must be .* got '11'"),
        ("file_name,rating\na.png,nan\n", "got 'nan'"),
        ("file_name,rating\na.png\n", "got ''"),
        ("file_name,rating\nx.png,3\n", "line 2: 'x.png' is neither an accepted image"),
        ("file_name,rating\n", "has no row"),
    ],
)
def test_user_ratings_refused(tmp_path: Path, text: str, message: str) -> None:
    """What a user gets wrong in the CSV is named with its line."""
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(PoolError, match=message):
        load_user_ratings(tmp_path / "r.csv", {"a.png": torch.ones(2)})


def test_ratings_file(tmp_path: Path) -> None:
    """Bundled ratings load from safetensors in half precision; other files are refused."""
    path = tmp_path / "ratings.safetensors"
    save_file({"features": torch.rand(4, 3).half(), "ratings": torch.arange(4).half()}, path)
    ratings = load_ratings(path)
    assert ratings.ratings.tolist() == [0, 1, 2, 3]
    assert torch.allclose(ratings.features.norm(dim=1), torch.ones(4))
    save_file({"other": torch.rand(1)}, path)
    with pytest.raises(ModelError, match=r"must hold features and ratings, got \['other'\]"):
        load_ratings(path)


@pytest.mark.parametrize(
    ("features", "ratings", "text"),
    [
        (torch.rand(3, 2), torch.rand(2), r"got \[3, 2\] and \[2\]"),
        (torch.rand(2, 2), torch.tensor([1.0, 12.0]), "got values from 1.0 to 12.0"),
    ],
)
def test_ratings_refused(features: torch.Tensor, ratings: torch.Tensor, text: str) -> None:
    """Ratings that do not fit their features or the scale are errors that say so."""
    with pytest.raises(PoolError, match=text):
        Ratings(features, ratings)


def test_heads_refused(tmp_path: Path) -> None:
    """A missing file, no safetensors, other tensors and another scorer's features are named."""
    with pytest.raises(ModelError, match=r"aesthetic head: .*no.safetensors does not exist"):
        load_aesthetic_head(tmp_path / "no.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="is no safetensors file"):
        load_aesthetic_head(tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match=r"got \['a'\]"):
        AestheticHead.from_tensors({"a": torch.rand(1)})
    head = AestheticHead.fresh(WIDTH, 0)
    with pytest.raises(ModelError, match=r"takes features \[n, 16\], got \[2, 3\]"):
        head.score(torch.rand(2, 3))
    with pytest.raises(ModelError, match="width 16, the ratings have 3"):
        finetune_aesthetic_head(
            head, [Ratings(torch.rand(2, 3), torch.rand(2))], AestheticSettings(), 0
        )


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("key", ["0.weight", "2.bias"])
def test_a_head_that_is_not_finite_is_refused_when_read(
    tmp_path: Path, key: str, wrong: float
) -> None:
    """By its file, not at the first φ of a training."""
    tensors = AestheticHead.fresh(WIDTH, 0).to_tensors()
    tensors[key].view(-1)[0] = wrong
    save_file(tensors, tmp_path / "head.safetensors")
    with pytest.raises(ModelError, match=rf"head.safetensors: the aesthetic head's {key} holds"):
        load_aesthetic_head(tmp_path / "head.safetensors")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize(("key", "said"), [("features", "rated image 2"), ("ratings", "lie in")])
def test_ratings_that_are_not_finite_are_refused_when_read(
    tmp_path: Path, key: str, said: str, wrong: float
) -> None:
    """By their file."""
    some = rated(5, 0)
    tensors = {"features": some.features.clone(), "ratings": some.ratings.clone()}
    tensors[key][2:3] = wrong
    save_file(tensors, tmp_path / "ratings.safetensors")
    with pytest.raises(PoolError, match=rf"ratings.safetensors: .*{said}"):
        load_ratings(tmp_path / "ratings.safetensors")


def looks(kind: int, count: int, seed: int) -> torch.Tensor:
    """Features as a CLIP model gives them: one direction for all images, less of a kind's own."""
    draw = torch.Generator().manual_seed(seed)
    own = torch.zeros(768)
    own[0], own[1 + kind] = 1.0, 0.7
    return normalized(own + 0.02 * torch.randn(count, 768, generator=draw))


def affine_start() -> AestheticHead:
    """A head as LAION's folded one: affine, images of the web around 5.5."""
    torch.manual_seed(3)
    head = AestheticHead(768, None).requires_grad_(False)
    head[0].weight.mul_(6.0)  # type: ignore[operator]
    head[0].bias.add_(5.5 - head.rating(looks(1, 100, 9)).mean())  # type: ignore[operator]
    return head


def test_negatives_hold_the_head_where_the_start_was() -> None:
    """Fitted to images rated 10 alone, it rates other things so, too, and Eq. 11 gives looks no
    weight; with such things replayed as θ_0 rates them, unseen ones stay, and X_T rises no less."""
    head, settings = affine_start(), AestheticSettings(steps=700)
    ten = [Ratings(looks(0, count, count), torch.full((count,), 10.0)) for count in (10, 200)]
    others = [replayed_ratings(head, looks(kind, 300, kind), 210, kind, 2.0) for kind in (1, 2, 3)]
    unseen, concept = looks(2, 200, 20), looks(0, 200, 21)
    alone = finetune_aesthetic_head(head, ten, settings, seed=0)
    held = finetune_aesthetic_head(head, [*ten, *others], settings, seed=0)
    start = float(head.score(unseen).mean())
    assert float(alone.score(unseen).mean()) > start + 1.5
    assert abs(float(held.score(unseen).mean()) - start) < 0.3
    assert float(held.score(concept).mean()) > float(held.score(unseen).mean()) + 2
    # What an embedding generates is between X_T and what the base model generates by itself.
    generated = normalized(looks(0, 200, 22) + looks(3, 200, 23))
    weights = [1 - float(tuned.score(generated).mean()) / 10 for tuned in (alone, held)]
    assert weights[1] > 1.5 * weights[0]


def test_replayed_ratings_are_the_starts_within_the_scale() -> None:
    """No more than there are, none twice, the same for a seed, never outside 0 to 10."""
    head, features = affine_start(), looks(1, 40, 0)
    some = replayed_ratings(head, features, 7, seed=1)
    assert len(some.ratings) == 7
    assert len(some.features.unique(dim=0)) == 7
    # The library of matrices rounds 7 rows and 40 in ways of their own.
    torch.testing.assert_close(some.ratings, head.rating(some.features))
    assert torch.equal(some.features, replayed_ratings(head, features, 7, seed=1).features)
    assert not torch.equal(some.features, replayed_ratings(head, features, 7, seed=2).features)
    assert len(replayed_ratings(head, features, 1000, seed=1).ratings) == 40
    with torch.no_grad():
        head[0].bias.add_(100)  # type: ignore[operator]
    assert replayed_ratings(head, features, 7, seed=1).ratings.tolist() == [10.0] * 7
