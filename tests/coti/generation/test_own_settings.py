"""How a run generates, in the file of what it learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from coti.generation.own_settings import differ, settings_of, with_settings
from coti.inversion.adapters.embedding import Embedding
from coti.settings import GenerationSettings

BARE = Embedding("<boot>", (torch.ones(2, 4),))
OWN = GenerationSettings(
    num_inference_steps=25,
    guidance_scale=7.5,
    guidance_interval=(0.3, 6.0),
    scheduler="DDIMScheduler",
    use_karras_sigmas=False,
)


def test_a_file_says_how_its_run_generated(tmp_path: Path) -> None:
    """All that an image's pixels depend on; of how many images nothing."""
    path = with_settings(BARE, replace(OWN, cycle_images=999)).save(tmp_path / "boot.safetensors")
    found = Embedding.load(path)
    assert settings_of([BARE, found], (768,)) == (OWN, found)
    assert settings_of([BARE], (4,)) == (GenerationSettings(), None)
    other = with_settings(BARE, replace(OWN, guidance_scale=3.0))
    assert differ([found, other], {})
    assert not differ([found, other], {"guidance_scale": 1.0})
    assert not differ([found, found, BARE], {})


def test_what_nobody_says_is_as_usual_for_the_base_model() -> None:
    """Stable Diffusion without a run's settings, as another tool's embedding or a LoRA, is not
    generated with as the bundled model is; nor sixty-four images at once."""
    for widths in ((768,), (1024,), (768, 1280)):
        usual, learned = settings_of([BARE], widths)
        assert (usual.guidance_scale, usual.num_inference_steps, learned) == (7.5, 20, None)
        assert usual.batch_size <= 8


@pytest.mark.parametrize(
    "said", ["", "{", '{"steps": 1}', '{"num_inference_steps": 0}', '{"guidance_scale": 1e400}']
)
def test_what_others_write_there_says_nothing(said: str) -> None:
    """Whatever it is."""
    silent = replace(BARE, metadata={"coti_generation": said})
    assert settings_of([silent], ()) == (GenerationSettings(), None)
