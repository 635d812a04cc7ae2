"""An encoder added from outside, in this one file, is loaded by name and scores a pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from coti.core.errors import ConfigError, ModelError
from coti.encoders.protocol import EncoderOptions, normalized
from coti.encoders.registry import ENCODERS, load_encoder
from coti.inversion.base_model import TextToImageModel
from coti.scores.concept_score import fit_concept_scorer
from coti.settings import ConceptScoreSettings, RunSettings
from ops.run_file import check_run_file
from ops.stack.loaded_models import encoders_of

RUN = {"concept": "boot", "seeds": "seeds", "pool": "pool"}


class MeanColour:
    """An image's mean colour, less the grey in the middle."""

    name = "mean colour"
    size = 3

    @classmethod
    def load(cls, options: EncoderOptions) -> MeanColour:
        """Without any weights."""
        return cls()

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w] to float32 [n, 3]."""
        return images.float().mean(dim=(2, 3)) - 127.5


def painted(*colour: float) -> torch.Tensor:
    """Eight images about a colour, uint8 [8, 3, 9, 9]."""
    noise = torch.randint(-30, 30, (8, 3, 9, 9), generator=torch.Generator().manual_seed(0))
    return (torch.tensor(colour)[None, :, None, None] + noise).clamp(0, 255).to(torch.uint8)


def test_an_encoder_from_outside_is_chosen_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """``concept_score.encoder`` names it; S_con then tells red from blue."""
    monkeypatch.setattr(ENCODERS, "targets", dict(ENCODERS.targets))
    ENCODERS.register("mean_colour", f"{__name__}:MeanColour")
    settings = ConceptScoreSettings(kind="calibrated", encoder="mean_colour")
    encoder = encoders_of(RunSettings(concept_score=settings)).concept
    assert isinstance(encoder, MeanColour)
    red, blue = (
        normalized(encoder.encode_images(painted(*colour)))
        for colour in ((220.0, 40.0, 40.0), (40.0, 40.0, 220.0))
    )
    pool = torch.cat([red[4:], blue])
    scores = fit_concept_scorer(settings, red[:4], red[:4], pool).score(pool)
    assert scores[:4].min() > scores[4:].max()


def test_what_an_encoder_needs_is_named(tmp_path: Path) -> None:
    """An unknown name, and options that lack what the encoder is loaded from."""
    path = tmp_path / "run.yaml"
    values = {**RUN, "concept_score": {"encoder": "dino"}}
    path.write_text(yaml.safe_dump({"parameters": {"config": values}}), encoding="utf-8")
    says = "no encoder 'dino': take one of open_clip, autoencoder, timm, inception"
    with pytest.raises(ConfigError, match=says):
        load_encoder("dino", EncoderOptions())
    with pytest.raises(ConfigError, match=says):
        check_run_file(path)
    for name, needs in (
        ("open_clip", "needs a model"),
        ("autoencoder", "part of the base model"),
        ("inception", "needs its weights and their sha256"),
    ):
        with pytest.raises(ModelError, match=needs):
            load_encoder(name, EncoderOptions())


def test_the_autoencoder_is_the_base_models(load_model: Callable[..., TextToImageModel]) -> None:
    """Latents of a 32² model, flattened."""
    model = load_model("epsilon")
    encoder = load_encoder("autoencoder", EncoderOptions(base_model=lambda: model))
    assert encoder.size == 4 * 16 * 16
