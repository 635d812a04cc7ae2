from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from coti.core.errors import ConfigError, PoolError
from coti.generation.editing import edit_image, latent_mask, read_image_and_mask
from coti.generation.prompted import generate_prompts
from coti.inversion.base_model import TextToImageModel
from coti.settings import GenerationSettings

SETTINGS = GenerationSettings(num_inference_steps=4, guidance_scale=2.0)


def left_half(height: int = 32, width: int = 32) -> torch.Tensor:
    """A mask that edits the left half."""
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[:, : width // 2] = True
    return mask


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sdxl"])
@pytest.mark.parametrize(
    "scheduler", ["DPMSolverMultistepScheduler", "DDIMScheduler", "EulerDiscreteScheduler"]
)
def test_only_the_masked_part_changes(
    kind: str, scheduler: str, load_model: Callable[..., TextToImageModel], images: torch.Tensor
) -> None:
    """On every shape of model and kind of solver; far from the mask nothing is added to the
    autoencoder's own error.
    """
    model = load_model(kind)
    settings = replace(SETTINGS, scheduler=scheduler)
    edited = edit_image(model, images[0], left_half(), "a boot", [], settings, num_images=2)
    assert edited.images.shape == (2, 3, 32, 32)
    # An untrained decoder mixes whole rows in its middle block, so this is not the bundled test.
    assert edited.outside_error <= edited.autoencoder_error * 1.5 + 2
    free = generate_prompts(model, ["a boot"], [], settings, num_images=2).images
    assert not torch.equal(edited.images, free)
    kept = edit_image(
        model, images[0], left_half(), "a boot", [], settings, num_images=2, keep_pixels=True
    )
    assert torch.equal(kept.images[..., 16:], images[0][None, :, :, 16:].expand(2, -1, -1, -1))
    assert kept.outside_error == 0
    assert torch.equal(kept.images[..., :16], edited.images[..., :16])


def test_the_last_blend_is_the_source_itself(
    model: TextToImageModel, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is decoded has the source's own latents outside the mask, without noise."""
    import coti.generation.sampler

    seen = []
    original = coti.generation.sampler.decode_latents

    def watched(*arguments: object, **options: object) -> torch.Tensor:
        seen.append(arguments[1])
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(coti.generation.sampler, "decode_latents", watched)
    edit_image(model, images[0], left_half(), "a boot", [], SETTINGS)
    first = seen[0]
    edit_image(model, images[0], left_half(), "a shoe", [], SETTINGS, seed=9)
    assert isinstance(first, torch.Tensor)
    assert isinstance(seen[1], torch.Tensor)
    assert torch.equal(first[..., 8:], seen[1][..., 8:])
    assert not torch.equal(first[..., :8], seen[1][..., :8])


def test_other_sizes_than_the_models_are_edited_as_they_are(model: TextToImageModel) -> None:
    """A wide image stays wide."""
    image = torch.full((3, 32, 64), 128, dtype=torch.uint8)
    edited = edit_image(model, image, left_half(32, 64), "a boot", [], SETTINGS)
    assert edited.images.shape == (1, 3, 32, 64)


def test_image_and_mask_are_checked(model: TextToImageModel, tmp_path: Path) -> None:
    """Sizes, an empty and a full mask, no image; odd sides are cut to whole latents."""
    Image.new("RGB", (33, 35), "red").save(tmp_path / "image.png")
    mask = Image.new("L", (33, 35), 0)
    mask.save(tmp_path / "black.png")
    Image.new("L", (33, 35), 255).save(tmp_path / "white.png")
    Image.new("L", (32, 35), 255).save(tmp_path / "other.png")
    mask.paste(255, (0, 0, 10, 10))
    mask.save(tmp_path / "mask.png")
    (tmp_path / "text.png").write_text("hello")

    def read(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return read_image_and_mask(tmp_path / "image.png", tmp_path / name, model)

    pixels, chosen = read("mask.png")
    assert pixels.shape == (3, 34, 32)
    assert int(chosen.sum()) == 100
    with pytest.raises(ConfigError, match="is all black"):
        read("black.png")
    with pytest.raises(ConfigError, match="is all white"):
        read("white.png")
    with pytest.raises(PoolError, match=r"has 32x35 pixels, the image .* 33x35"):
        read("other.png")
    with pytest.raises(PoolError, match=r"text\.png cannot be read"):
        read("text.png")


def test_a_mask_thinner_than_a_latent_is_refused() -> None:
    """Half of a cell is the least."""
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[0, :] = True
    with pytest.raises(ConfigError, match="too thin"):
        latent_mask(mask, 4)
    mask[:2] = True
    assert latent_mask(mask, 4).tolist() == [[True, True], [False, False]]


def test_shapes_must_agree(model: TextToImageModel, images: torch.Tensor) -> None:
    """A mask of another size is named as such."""
    with pytest.raises(ConfigError, match="they must be of one size"):
        edit_image(model, images[0], left_half(16, 32), "a boot", [], SETTINGS)
