"""S_aes (Eq. 7): how good an image looks, 0 to 10, from a small head on frozen image features.

The head is fine-tuned before every cycle, always from the same θ_0, on ratings that are replayed
and on what the run itself knows to be good: the seeds, and the images it selected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from coti.core.determinism import deterministic
from coti.core.errors import ModelError, PoolError
from coti.core.shown_names import by_file_name
from coti.core.text_files import read_records
from coti.encoders.protocol import ImageEncoder, normalized
from coti.scores.degradations import graded_copies
from coti.scores.formulas import TOP, smooth_clamp
from coti.settings import AestheticSettings

__all__ = [
    "AestheticHead",
    "Ratings",
    "degraded_ratings",
    "finetune_aesthetic_head",
    "fold_affine_layers",
    "load_aesthetic_head",
    "load_ratings",
    "load_user_ratings",
    "rate_selected",
    "replayed_ratings",
]


class AestheticHead(nn.Sequential):
    """An affine map or Linear–ReLU–Linear from normalised features to a score.

    Its tensors are ``0.weight``, ``0.bias`` and, with a hidden layer, ``2.weight``, ``2.bias``.
    """

    def __init__(self, width: int, hidden: int | None = 64) -> None:
        """Build a head for features of ``width``; ``hidden`` none makes it affine."""
        if hidden is None:
            super().__init__(nn.Linear(width, 1))
        else:
            super().__init__(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.width = width

    def rating(self, features: torch.Tensor) -> torch.Tensor:
        """The unbounded rating that fine-tuning fits: [n, width] normalised to [n]."""
        out: torch.Tensor = self(features)
        return out.squeeze(-1)

    @torch.no_grad()
    def score(self, features: torch.Tensor) -> torch.Tensor:
        """S_aes (Eq. 7) of normalised features [n, width]: [n], 0 to 10, by ``smooth_clamp``."""
        if features.ndim != 2 or features.shape[1] != self.width:
            raise ModelError(
                f"the aesthetic head takes features [n, {self.width}], got "
                f"{list(features.shape)}: it belongs to another scorer."
            )
        return smooth_clamp(self.rating(features))

    def to_tensors(self) -> dict[str, torch.Tensor]:
        """A copy of its tensors, float32, as they are stored."""
        return {key: value.detach().clone() for key, value in self.state_dict().items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> AestheticHead:
        """The head of such tensors, of any float type; LAION's layered heads are folded.

        Raises:
            ModelError: the tensors are no such head, or not finite.
        """
        for key, value in tensors.items():
            if not bool(value.isfinite().all()):
                raise ModelError(
                    f"the aesthetic head's {key} holds values that are not finite: take another "
                    "head, or aesthetic.head: null for a fresh one."
                )
        layers = _layers_in_order(tensors)
        if layers:
            weight, bias = fold_affine_layers(
                [tensors[f"layers.{i}.weight"] for i in layers],
                [tensors[f"layers.{i}.bias"] for i in layers],
            )
            tensors = {"0.weight": weight, "0.bias": bias}
        if set(tensors) not in (
            {"0.weight", "0.bias"},
            {"0.weight", "0.bias", "2.weight", "2.bias"},
        ):
            raise ModelError(
                f"an aesthetic head has the tensors 0.weight, 0.bias and, with a hidden layer, "
                f"2.weight, 2.bias, or LAION's layers.N.weight; got {sorted(tensors)}."
            )
        hidden, width = tensors["0.weight"].shape
        head = cls(width, hidden if "2.weight" in tensors else None)
        try:
            head.load_state_dict({key: value.float() for key, value in tensors.items()})
        except RuntimeError as error:
            shapes = {key: list(value.shape) for key, value in tensors.items()}
            message = f"the aesthetic head's shapes do not fit together: {shapes}."
            raise ModelError(message) from error
        return head.requires_grad_(False)

    @classmethod
    def fresh(cls, width: int, seed: int, hidden: int | None = 64) -> AestheticHead:
        """A head that rates everything near 5, drawn from ``seed``."""
        head = cls(width, hidden)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in head:
                if isinstance(layer, nn.Linear):
                    layer.weight.normal_(0.0, layer.in_features**-0.5, generator=generator)
                    layer.bias.zero_()
            last = head[-1]
            assert isinstance(last, nn.Linear)
            last.bias.fill_(TOP / 2)
        return head.requires_grad_(False)


def fold_affine_layers(
    weights: Sequence[torch.Tensor],  # [out, in] each, in the order they are applied
    biases: Sequence[torch.Tensor],  # [out] each
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fold layers without activations between them into one affine map, in float64.

    LAION's ``sac+logos+ava1-l14-linearMSE`` (768→1024→128→64→16→1) is such a stack; folded, a
    million images are scored by one matrix-vector product: float32 [last out, first in] and
    bias [last out].
    """
    weight, bias = weights[0].double(), biases[0].double()
    for next_weight, next_bias in zip(weights[1:], biases[1:], strict=True):
        weight = next_weight.double() @ weight
        bias = next_weight.double() @ bias + next_bias.double()
    return weight.float(), bias.float()


def _layers_in_order(tensors: Mapping[str, torch.Tensor]) -> list[int]:
    found = (re.fullmatch(r"layers\.(\d+)\.weight", key) for key in tensors)
    return sorted(int(match[1]) for match in found if match)


def load_aesthetic_head(path: str | Path) -> AestheticHead:
    """Load a head from safetensors: ours, or LAION's converted to safetensors.

    Raises:
        ModelError: no such file, or not a head.
    """
    tensors = _load_tensors(path, "aesthetic head")
    try:
        return AestheticHead.from_tensors(tensors)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


@dataclass(frozen=True)
class Ratings:
    """Rated images, by their features."""

    features: torch.Tensor
    """float32 [n, d], normalised here if it was not."""
    ratings: torch.Tensor
    """float32 [n], 0 to 10."""
    weight: float = 1.0
    """Say of this set in the loss, whatever its size."""

    def __post_init__(self) -> None:
        features, ratings = self.features, self.ratings
        if features.ndim != 2 or ratings.shape != features.shape[:1]:
            raise PoolError(
                "ratings must be features [n, d] and ratings [n], got "
                f"{list(features.shape)} and {list(ratings.shape)}."
            )
        if len(ratings) and not (float(ratings.min()) >= 0 and float(ratings.max()) <= TOP):
            raise PoolError(
                "ratings must lie in [0, 10], got values from "
                f"{float(ratings.min())} to {float(ratings.max())}."
            )
        broken = (~features.isfinite().all(1)).nonzero().flatten().tolist()
        if broken:
            raise PoolError(
                f"the features of rated image {broken[0]} (of {len(features)}, from 0) are not "
                "finite: encode it again, or leave it out."
            )
        object.__setattr__(self, "features", normalized(features.float()))
        object.__setattr__(self, "ratings", ratings.float())


def load_ratings(path: str | Path) -> Ratings:
    """Load rated features from safetensors with the tensors ``features`` and ``ratings``.

    Raises:
        ModelError: no such file, or other tensors in it.
        PoolError: they do not belong together, or are no ratings; names the file.
    """
    tensors = _load_tensors(path, "ratings")
    if not {"features", "ratings"} <= set(tensors):
        raise ModelError(f"{path} must hold features and ratings, got {sorted(tensors)}.")
    try:
        return Ratings(tensors["features"], tensors["ratings"])
    except PoolError as error:
        raise PoolError(f"{path}: {error}") from error


def _load_tensors(path: str | Path, what: str) -> dict[str, torch.Tensor]:
    if not Path(path).is_file():
        raise ModelError(f"{what}: {path} does not exist; check the path, or set it to null.")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{what}: {path} is no safetensors file ({error}).") from error


def load_user_ratings(
    path: str | Path,
    features: Mapping[str, torch.Tensor],
    instead: Mapping[str, float] = MappingProxyType({}),
) -> Ratings:
    """Read a user's CSV of any encoding with the columns ``file_name`` and ``rating`` (0 to 10).

    ``features`` are [d] each, of the pool and the seeds, by :func:`~coti.core.shown_names.escaped`
    file name; ``instead``, by the same names, are ratings that win over the table's.

    Raises:
        PoolError: a missing file or column, a rating that is no number from 0 to 10, or a name
            that is neither in the pool nor among the seeds; names the line.
    """
    if not Path(path).is_file():
        raise PoolError(f"user ratings: {path} does not exist; check aesthetic.user_ratings.")
    rows: list[torch.Tensor] = []
    ratings: list[float] = []
    for line, record in read_records(path, ("file_name", "rating"), "user ratings", PoolError):
        name, text = record.get("file_name", ""), record.get("rating", "")
        try:
            rating = float(text.replace(",", "."))
        except ValueError:
            rating = -1.0
        if not 0.0 <= rating <= TOP:
            raise PoolError(
                f"user ratings: {path}, line {line}: rating must be a number from 0 to 10, got "
                f"{text!r}."
            )
        found = by_file_name(features, name)
        if found is None:
            raise PoolError(
                f"user ratings: {path}, line {line}: {name!r} is neither an accepted image of the "
                "pool nor a seed."
            )
        rows.append(found)
        better = by_file_name(instead, name)
        ratings.append(rating if better is None else better)
    if not rows:
        raise PoolError(f"user ratings: {path} has no row; set aesthetic.user_ratings to null.")
    return Ratings(torch.stack(rows), torch.tensor(ratings))


def rate_selected(first_selected_cycle: int, cycle: int, settings: AestheticSettings) -> float:
    """Rating of a selected image: ``selected_start`` in the first fine-tuning after its selection
    (in the cycle that follows), rising each cycle to 10."""
    rising = settings.selected_start + settings.selected_rise * (cycle - first_selected_cycle - 1)
    return min(TOP, rising)


def degraded_ratings(
    images: torch.Tensor, encoder: ImageEncoder, seed: int, variants: int = 16
) -> Ratings:
    """``variants`` degraded copies of good images, uint8 [n, 3, h, w], as the scorer sees them."""
    degraded, ratings = graded_copies(images, seed, variants)
    return Ratings(encoder.encode_images(degraded), ratings)


@torch.no_grad()
def replayed_ratings(
    head: AestheticHead,  # θ_0
    features: torch.Tensor,  # [n, d], normalised, of images that nobody rated
    count: int,  # how many are drawn; all where there are fewer
    seed: int,  # of the draw
    weight: float = 1.0,  # as Ratings'
) -> Ratings:
    """Images rated as θ_0 itself rates them, within the scale: they hold the head where it was.

    Fitted to nothing but images rated 10, it would rate everything so.
    """
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    drawn = features[order[:count]]
    return Ratings(drawn, head.rating(drawn).clamp(0, TOP), weight)


@deterministic()
def finetune_aesthetic_head(
    head: AestheticHead,  # θ_0; it is left as it is
    ratings: Sequence[Ratings],  # empty ones are passed over
    settings: AestheticSettings,  # steps and learning rate
    seed: int,  # of the draws
) -> AestheticHead:
    """Fit a copy of θ_0 to all sets of ratings by mean squared error; the same for the same seed.

    Every step draws up to 128 images from each set, so that ten seeds are heard beside thousands
    of replayed ratings, which keep the head from forgetting what a bad image looks like.

    Raises:
        ModelError: features of another width than the head's.
    """
    tuned = AestheticHead.from_tensors(head.to_tensors()).requires_grad_(True)
    ratings = [each for each in ratings if len(each.ratings)]
    for each in ratings:
        if each.features.shape[1] != head.width:
            raise ModelError(
                f"the aesthetic head takes features of width {head.width}, the ratings have "
                f"{each.features.shape[1]}: head, ratings and scorer must belong together."
            )
    if not ratings:
        return tuned.requires_grad_(False)
    # Coordinates of a feature of length 1 are about 1/√d; the fit works on √d times that, and the
    # factor moves into the first weight and back.
    unit = head.width**0.5
    with torch.no_grad():
        tuned.get_parameter("0.weight").div_(unit)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(tuned.parameters(), lr=settings.learning_rate)
    total = sum(each.weight for each in ratings)
    for step in range(settings.steps):
        # A rate that falls to zero, so that the last draws do not decide where it ends.
        optimizer.param_groups[0]["lr"] = settings.learning_rate * (1 - step / settings.steps)
        loss = torch.zeros(())
        for each in ratings:
            rows = torch.randint(len(each.ratings), (128,), generator=generator)
            error = tuned.rating(unit * each.features[rows]) - each.ratings[rows]
            loss = loss + each.weight / total * error.square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        tuned.get_parameter("0.weight").mul_(unit)
    return tuned.requires_grad_(False)
