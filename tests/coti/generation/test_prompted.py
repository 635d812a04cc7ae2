from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from coti.core.errors import EmbeddingError, PoolError
from coti.core.images import read_image
from coti.generation.own_settings import UNRECORDED, sampling_settings
from coti.generation.png_metadata import (
    embedding_hash,
    read_metadata,
    save_image,
)
from coti.generation.prompted import (
    GeneratedImages,
    compare_embeddings,
    generate_prompts,
    save_generated,
)
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.settings import GenerationSettings

SETTINGS = GenerationSettings(num_inference_steps=3, guidance_scale=3.0, batch_size=4)


def prompts_of(generated: GeneratedImages) -> list[str]:
    """The images' prompts."""
    return [each.prompt for each in generated.metadata]


def random_embedding(model: TextToImageModel, token: str = "<t>", seed: int = 1) -> Embedding:
    """An embedding with random vectors as long as the vocabulary's."""
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(2, width, generator=generator) * 0.4 for width in model.widths]
    metadata = {"concept": "boot", "base_model": model.name}
    return Embedding(token, tuple(parts), metadata, model.embedding_keys)


def close(first: torch.Tensor, second: torch.Tensor) -> bool:
    """The same images up to rounding."""
    return int((first.int() - second.int()).abs().max()) <= 1


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sdxl"])
def test_generations_are_saved_with_their_metadata(
    kind: str, load_model: Callable[..., TextToImageModel], tmp_path: Path
) -> None:
    """On every shape of model: n images a prompt; the file's metadata generates the same image."""
    model = load_model(kind)
    embeddings = [random_embedding(model), random_embedding(model, "<s>", 2)]
    prompts = ["a photo of a {}", "a {} in the style of <s>"]
    generated = generate_prompts(
        model,
        prompts,
        embeddings,
        SETTINGS,
        7,
        num_images=2,
        negative_prompt="dirty",
        size=(32, 48),
    )
    assert generated.images.shape == (4, 3, 32, 48)
    assert prompts_of(generated) == [*["a photo of a <t>"] * 2, *["a <t> in the style of <s>"] * 2]

    *paths, sheet = save_generated({"": generated}, tmp_path / "out", columns=2)
    assert len(paths) == 4
    assert read_image(sheet).width > 2 * 48
    metadata = read_metadata(paths[3])
    assert metadata == generated.metadata[3]
    assert (metadata.seed, metadata.index, metadata.model_hash) == (7, 1, model.fingerprint)
    assert [w.hash for w in metadata.embeddings] == [embedding_hash(w) for w in embeddings]
    again = generate_prompts(
        model,
        [metadata.prompt],
        embeddings,
        SETTINGS,
        metadata.seed,
        num_images=metadata.index + 1,
        negative_prompt=metadata.negative_prompt,
        size=(metadata.height, metadata.width),
    )
    assert close(again.images[1], generated.images[3])


OTHER: dict[str, object] = {
    "num_inference_steps": 4,
    "guidance_scale": 6.0,
    "guidance_interval": (0.5, 4.0),
    "scheduler": "DDIMScheduler",
    "use_karras_sigmas": False,
    "batch_size": 1,
    "phi_images": 8,
    "cycle_images": 9,
    "sample_images": 5,
    "prompts": ("a {}",),
}
"""Another value than in ``SETTINGS`` of every field."""


@pytest.mark.parametrize("name", [each.name for each in fields(GenerationSettings)])
def test_what_changes_pixels_is_recorded(
    name: str, model: TextToImageModel, tmp_path: Path
) -> None:
    """A setting is in the file, and read back; or it leaves the image as it is."""
    changed = replace(SETTINGS, **{name: OTHER[name]})  # type: ignore[arg-type]
    before = generate_prompts(model, ["a boot"], [], SETTINGS, num_images=2)
    after = generate_prompts(model, ["a boot"], [], changed, num_images=2)
    found = read_metadata(save_image(after.images[0], after.metadata[0], tmp_path / "a.png"))
    assert found == after.metadata[0]
    assert close(before.images, after.images) == (name in UNRECORDED)
    assert (found == before.metadata[0]) == (name in UNRECORDED)
    if name not in UNRECORDED:
        told = {each: getattr(found, each) for each in sampling_settings(changed)}
        again = generate_prompts(model, ["a boot"], [], replace(SETTINGS, **told), num_images=2)
        assert torch.equal(again.images, after.images)


def test_a_prompts_images_do_not_depend_on_the_others(model: TextToImageModel) -> None:
    """Image i of every prompt has the same noise, whatever is generated beside it."""
    embeddings = [random_embedding(model)]
    both = generate_prompts(model, ["a boot", "a {}"], embeddings, SETTINGS, num_images=2)
    alone = generate_prompts(model, ["a {}"], embeddings, SETTINGS, num_images=2)
    assert close(both.images[2:], alone.images)
    same = generate_prompts(model, ["a {}", "a {}"], embeddings, SETTINGS, num_images=2)
    assert close(same.images[:2], same.images[2:])


def test_embeddings_are_compared_on_the_same_noise(model: TextToImageModel) -> None:
    """With, without, and another state of the embedding; without it the concept is named."""
    now, before = random_embedding(model), random_embedding(model, seed=3)
    found = compare_embeddings(
        model, ["a {}"], {"without": [], "cycle 0": [before], "now": [now]}, SETTINGS, num_images=2
    )
    assert prompts_of(found["without"]) == ["a boot"] * 2
    plain = generate_prompts(model, ["a boot"], [], SETTINGS, num_images=2)
    assert close(found["without"].images, plain.images)
    assert not close(found["cycle 0"].images, found["now"].images)
    named = compare_embeddings(
        model, ["a {}"], {"w": [], "now": [now]}, SETTINGS, num_images=1, plain_word="shoe"
    )
    assert prompts_of(named["w"]) == ["a shoe"]


def test_bad_embeddings_are_one_sentence(model: TextToImageModel) -> None:
    """A token that nothing defines, two embeddings of one token, one of another width."""
    own = random_embedding(model)
    with pytest.raises(EmbeddingError, match="uses <other>"):
        generate_prompts(model, ["a <other>"], [own], SETTINGS)
    with pytest.raises(EmbeddingError, match="Two embeddings share the token <t>"):
        generate_prompts(model, ["a <t>"], [own, own], SETTINGS)
    wide = Embedding("<t>", (torch.zeros(1, 1024),))
    with pytest.raises(EmbeddingError, match="width 1024, made for Stable Diffusion 2"):
        generate_prompts(model, ["a <t>"], [wide], SETTINGS)


def test_an_image_without_metadata_says_so(tmp_path: Path) -> None:
    """Neither a plain PNG nor a text file has one."""
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(PoolError, match="does not say how COTI"):
        read_metadata(tmp_path / "plain.png")
    with pytest.raises(PoolError, match="cannot be read as a PNG"):
        read_metadata(tmp_path / "text.png")


def test_web_uis_find_their_line(model: TextToImageModel, tmp_path: Path) -> None:
    """The chunk ``parameters`` has prompt, seed, steps and scale as those tools write them."""
    generated = generate_prompts(
        model, ["a {}"], [random_embedding(model)], SETTINGS, 5, negative_prompt="dark"
    )
    path = save_generated({"cycle 0": generated}, tmp_path, columns=1)[0]
    assert path.name == "cycle-0-0000.png"
    with Image.open(path) as image:
        image.load()
        text = image.text["parameters"]  # type: ignore[attr-defined]
    assert text.startswith("a <t>\nNegative prompt: dark\nSteps: 3, Sampler: DPMSolver")
    assert "CFG scale: 3.0, Seed: 5, Size: 32x32, Model hash: " in text
    assert replace(generated.metadata[0], negative_prompt="").for_web_uis().count("\n") == 1
