"""An adapter added from outside, in this one file, is trained, saved, loaded and sampled with."""

from __future__ import annotations

# ruff: noqa: D102 (the protocol says what each method does)
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from coti.core.errors import ConfigError
from coti.generation.sampler import generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.adapters.registry import ADAPTERS
from coti.inversion.base_model import TextToImageModel
from coti.inversion.checkpoint import FolderCheckpointStore
from coti.inversion.trainer import TrainResult, train_cycle
from coti.settings import GenerationSettings, ScheduleSettings, TokenSettings, TrainSettings

STEPS = TrainSettings(max_steps=4, batch_size=2)
FEW = GenerationSettings(num_inference_steps=2)


@dataclass(frozen=True)
class Shift:
    """One vector that is added to every place of every prompt; no token of its own."""

    token: str
    parts: tuple[torch.Tensor, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def initial(
        cls, model: TextToImageModel, settings: TokenSettings, seed: int = 0, concept: str = ""
    ) -> Shift:
        return cls(settings.placeholder_token, (torch.zeros(model.widths[0]),))

    @classmethod
    def load(cls, path: Path | str, token: str | None = None) -> Shift:
        return cls(token or "it", (load_file(path)["shift"],))

    def save(self, path: Path | str) -> Path:
        save_file({"shift": self.parts[0]}, path)
        return Path(path)

    def with_parts(self, parts: Sequence[torch.Tensor], **metadata: str) -> Shift:
        return replace(self, parts=tuple(part.detach().cpu().clone() for part in parts))

    def check_fits(self, model: TextToImageModel, source: str | None = None) -> None:
        assert len(self.parts[0]) == model.widths[0]

    def constraint(
        self, model: TextToImageModel, settings: TokenSettings
    ) -> Callable[[Sequence[torch.Tensor]], None]:
        @torch.no_grad()
        def keep_short(parts: Sequence[torch.Tensor]) -> None:
            parts[0].clamp_(-0.01, 0.01)

        return keep_short

    def token_vectors(self, parts: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return ()

    @contextmanager
    def applied(self, model: TextToImageModel, parts: Sequence[torch.Tensor]) -> Iterator[None]:
        def shift(_module: Any, _given: Any, output: Any) -> Any:
            return (output[0] + parts[0], *output[1:])

        handle = model.text_encoders[0].register_forward_hook(shift)
        try:
            yield
        finally:
            handle.remove()


@pytest.fixture
def shift(monkeypatch: pytest.MonkeyPatch, model: TextToImageModel) -> Shift:
    """The toy by its name in the registry, before training."""
    monkeypatch.setattr(ADAPTERS, "targets", dict(ADAPTERS.targets))
    ADAPTERS.register("shift", f"{__name__}:Shift")
    start = ADAPTERS.get("shift").initial(model, TokenSettings("boot"))
    assert isinstance(start, Shift)
    return start


def trained(
    model: TextToImageModel, images: torch.Tensor, start: Shift, **changes: Any
) -> TrainResult[Shift]:
    """The trainer on the toy."""
    settings = replace(STEPS, **changes)
    return train_cycle(model, images, None, start, settings, ScheduleSettings(), None, 0)


def test_an_adapter_from_outside_goes_all_the_way(
    shift: Shift, model: TextToImageModel, images: torch.Tensor, tmp_path: Path
) -> None:
    """Trained within its constraint, saved, loaded, sampled with, alone and beside an embedding."""
    result = trained(model, images, shift)
    (vector,) = result.embedding.parts
    assert 0 < float(vector.abs().max()) <= 0.0101
    back = Shift.load(result.embedding.save(tmp_path / "shift.safetensors"), "boot")
    assert torch.equal(back.parts[0], vector)
    far = replace(back, parts=(1000 * vector,))
    plain, moved = (generate(model, ["a boot"], some, FEW, 0) for some in ([], [far]))
    assert not torch.equal(plain, moved)
    assert torch.equal(plain, generate(model, ["a boot"], [], FEW, 0)), "nothing is left behind"
    embedding = Embedding.initial(model, TokenSettings("<t>", "foot"))
    both, alone = (
        generate(model, ["a <t>"], some, FEW, 0) for some in ([embedding, far], [embedding])
    )
    assert not torch.equal(both, alone)


def test_an_adapter_from_outside_goes_on_from_its_checkpoint(
    shift: Shift, model: TextToImageModel, images: torch.Tensor, tmp_path: Path
) -> None:
    """The trainer keeps its tensors as it keeps an embedding's."""
    store = FolderCheckpointStore(tmp_path)
    schedule = ScheduleSettings()
    first = train_cycle(model, images, None, shift, STEPS, schedule, None, 0, store)
    again = train_cycle(model, images, None, shift, STEPS, schedule, None, 0, store)
    assert torch.equal(first.embedding.parts[0], again.embedding.parts[0])
    assert torch.equal(first.embedding.parts[0], trained(model, images, shift).embedding.parts[0])


def test_an_unknown_adapter_is_named() -> None:
    """With those that there are."""
    with pytest.raises(ConfigError, match="no adapter 'nowhere': take one of embedding"):
        ADAPTERS.get("nowhere")
