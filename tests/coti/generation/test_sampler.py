from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from coti.core.errors import ConfigError, EmbeddingError
from coti.core.quiet_libraries import quiet_libraries
from coti.generation.sampler import fixed_noise, generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.settings import GenerationSettings

SETTINGS = GenerationSettings(num_inference_steps=4, guidance_scale=3.0, batch_size=3)
PROMPTS = ["a photo of a <t>", "a dark <t>", "a painting", "a photo of a <t>", "<t>"]


def random_embedding(model: TextToImageModel, token: str = "<t>") -> Embedding:
    """An embedding with random vectors as long as the vocabulary's."""
    generator = torch.Generator().manual_seed(1)
    parts = [torch.randn(3, width, generator=generator) * 0.4 for width in model.widths]
    return Embedding(token, tuple(parts), {}, model.embedding_keys)


def difference(first: torch.Tensor, second: torch.Tensor) -> int:
    """The largest difference of two sets of images, in levels of 255."""
    return int((first.int() - second.int()).abs().max())


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("scheduler", ["DPMSolverMultistepScheduler", "DDIMScheduler"])
def test_images_are_the_pipelines(
    kind: str,
    scheduler: str,
    model_folder: Callable[..., Path],
    load_model: Callable[..., TextToImageModel],
    tmp_path: Path,
) -> None:
    """The saved file, loaded by StableDiffusionPipeline, gives our image from our noise."""
    import diffusers

    model = load_model(kind)
    embedding = random_embedding(model)
    settings = replace(SETTINGS, scheduler=scheduler)
    ours = generate(model, PROMPTS, [embedding], settings, seed=5, negative_prompt="dirty")

    with quiet_libraries():
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(str(model_folder(kind)))
        solver = getattr(diffusers, scheduler)
        karras = {"use_karras_sigmas": True} if "Multistep" in scheduler else {}
        pipe.scheduler = solver.from_config(pipe.scheduler.config, **karras)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_textual_inversion(str(embedding.save(tmp_path / "t.safetensors")))
    with quiet_libraries():
        theirs = pipe(
            PROMPTS,
            negative_prompt=["dirty"] * len(PROMPTS),
            num_inference_steps=4,
            guidance_scale=3.0,
            latents=fixed_noise(model, range(len(PROMPTS)), 5),
            output_type="np",
        ).images
    expected = torch.from_numpy(theirs * 255).round().to(torch.uint8).permute(0, 3, 1, 2)

    assert ours.shape == (5, 3, 32, 32)
    assert difference(ours, expected) <= 1


def test_sdxl_images_are_the_pipelines(
    model_folder: Callable[..., Path], load_model: Callable[..., TextToImageModel]
) -> None:
    """Both text encoders, the pooled text and the size conditioning."""
    import diffusers

    model = load_model("sdxl")
    embedding = random_embedding(model)
    ours = generate(model, PROMPTS[:2], [embedding], SETTINGS, seed=5)
    with quiet_libraries():
        pipe = diffusers.StableDiffusionXLPipeline.from_pretrained(str(model_folder("sdxl")))
        pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
            pipe.scheduler.config, use_karras_sigmas=True
        )
    pipe.set_progress_bar_config(disable=True)
    for part, suffix in zip(embedding.parts, ("", "_2"), strict=True):
        pipe.load_textual_inversion(
            {"<t>": part},
            text_encoder=getattr(pipe, f"text_encoder{suffix}"),
            tokenizer=getattr(pipe, f"tokenizer{suffix}"),
        )
    with quiet_libraries():
        theirs = pipe(
            PROMPTS[:2],
            height=32,
            width=32,
            num_inference_steps=4,
            guidance_scale=3.0,
            latents=fixed_noise(model, range(2), 5),
            output_type="np",
        ).images
    expected = torch.from_numpy(theirs * 255).round().to(torch.uint8).permute(0, 3, 1, 2)
    assert difference(ours, expected) <= 1


@pytest.mark.parametrize(
    "scheduler", ["DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler"]
)
def test_an_image_depends_on_seed_index_and_prompt_only(
    scheduler: str, model: TextToImageModel
) -> None:
    """Other batch sizes, other companions, alone: the same image up to rounding."""
    settings = replace(SETTINGS, scheduler=scheduler)
    embedding = random_embedding(model)
    whole = generate(model, PROMPTS, [embedding], settings, seed=5)
    other = generate(model, PROMPTS, [embedding], replace(settings, batch_size=2), seed=5)
    alone = generate(model, PROMPTS[4:], [embedding], settings, seed=5, indices=[4])
    assert difference(whole, other) <= 1
    assert difference(whole[4:], alone) <= 1
    assert difference(whole, generate(model, PROMPTS, [embedding], settings, seed=6)) > 5
    assert torch.equal(whole, generate(model, PROMPTS, [embedding], settings, seed=5))


def test_the_embedding_matters(model: TextToImageModel) -> None:
    """Two embeddings, the same noise, two images; prompts without a token are as before."""
    embedding = random_embedding(model)
    other = replace(embedding, parts=(-embedding.parts[0],))
    first, second = (
        generate(model, ["a <t>", "a boot"], [e], SETTINGS, seed=0) for e in (embedding, other)
    )
    assert difference(first[:1], second[:1]) > 0
    assert torch.equal(first[1:], second[1:])


def test_several_embeddings_stand_in_one_prompt(model: TextToImageModel) -> None:
    """Each under its own token; the same token twice is refused."""
    embeddings = [random_embedding(model), random_embedding(model, "<style>")]
    generate(model, ["a <t> in the style of <style>"], embeddings, SETTINGS, seed=0)
    with pytest.raises(EmbeddingError, match="Two embeddings share the token <t>"):
        generate(model, ["a <t>"], [embeddings[0], embeddings[0]], SETTINGS, seed=0)


def test_without_guidance_the_negative_prompt_is_not_used(model: TextToImageModel) -> None:
    """guidance_scale 1: one pass, whatever the negative prompt."""
    settings = replace(SETTINGS, guidance_scale=1.0)
    first, second = (
        generate(model, ["a boot"], [], settings, seed=0, negative_prompt=negative)
        for negative in ("", "a dirty shoe")
    )
    assert torch.equal(first, second)


def test_size_and_steps_can_be_watched_and_changed(model: TextToImageModel) -> None:
    """after_step sees every step's latents and the next timestep, and may replace them."""
    seen: list[int] = []

    def blank(latents: torch.Tensor, following: torch.Tensor, chosen: slice) -> torch.Tensor:
        seen.append(int(following))
        return torch.zeros_like(latents) if int(following) == -1 else latents

    images = generate(
        model, ["a boot", "a shoe"], [], SETTINGS, seed=0, size=(48, 32), after_step=blank
    )
    assert images.shape == (2, 3, 48, 32)
    assert torch.equal(images[0], images[1])
    assert len(seen) == 4
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == -1


def test_noise_is_fixed_by_seed_and_index(model: TextToImageModel) -> None:
    """Not by how many are generated or in which order."""
    noise = fixed_noise(model, range(4), 0)
    assert torch.equal(fixed_noise(model, [3, 1], 0), noise[[3, 1]])
    assert not torch.equal(fixed_noise(model, range(4), 1), noise)
    assert len(noise.flatten(1).unique(dim=0)) == 4


@pytest.mark.parametrize("name", ["Nonsense", "DDIMPipeline", "NoSuchScheduler"])
def test_an_unknown_scheduler_is_refused(name: str, model: TextToImageModel) -> None:
    """With examples of what is known."""
    with pytest.raises(ConfigError, match=f"scheduler '{name}' is none of diffusers'"):
        generate(model, ["a boot"], [], replace(SETTINGS, scheduler=name), seed=0)


def test_bad_requests_are_one_sentence(model: TextToImageModel) -> None:
    """No prompts; a size between the autoencoder's steps; an embedding of another model."""
    with pytest.raises(ConfigError, match="no prompt"):
        generate(model, [], [], SETTINGS, seed=0)
    with pytest.raises(ConfigError, match="33x32 is no multiple of 2"):
        generate(model, ["a boot"], [], SETTINGS, seed=0, size=(33, 32))
    with pytest.raises(EmbeddingError, match="made for Stable Diffusion 1"):
        generate(model, ["<t>"], [Embedding("<t>", (torch.zeros(1, 768),))], SETTINGS, seed=0)


@pytest.mark.parametrize("scheduler", ["DPMSolverMultistepScheduler", "EulerDiscreteScheduler"])
def test_guidance_may_hold_between_two_noise_levels(
    scheduler: str, model: TextToImageModel
) -> None:
    """At all levels: as without; at none: as a weight of 1; at some: neither."""
    embedding, found = random_embedding(model), []
    for weight, interval in ((3.0, None), (3.0, (0.0, 1e8)), (3.0, (1e8, 1e9)), (1.0, None)):
        changes = {"scheduler": scheduler, "guidance_scale": weight, "guidance_interval": interval}
        settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
        found.append(generate(model, PROMPTS, [embedding], settings, seed=5))
    always, everywhere, nowhere, never = found
    assert torch.equal(always, everywhere)
    assert torch.equal(nowhere, never)
    some = replace(SETTINGS, scheduler=scheduler, guidance_interval=(0.2, 5.0))
    between = generate(model, PROMPTS, [embedding], some, seed=5)
    assert difference(between, always) > 0
    assert difference(between, never) > 0


@pytest.mark.parametrize("interval", [(2.0, 1.0), (-1.0, 1.0), (1.0, 1.0), (0.0, float("nan"))])
def test_an_interval_that_is_none_is_refused(interval: tuple[float, float]) -> None:
    """With what it may be."""
    with pytest.raises(ConfigError, match="guidance_interval"):
        GenerationSettings(guidance_interval=interval)


@pytest.mark.parametrize("scheduler", ["FlowMatchEulerDiscreteScheduler", "ScoreSdeVeScheduler"])
def test_a_scheduler_without_noise_levels_has_no_interval(
    scheduler: str, model: TextToImageModel
) -> None:
    """Both are named, before the first step."""
    settings = replace(SETTINGS, scheduler=scheduler, guidance_interval=(0.2, 5.0))
    with pytest.raises(ConfigError, match=rf"{scheduler} .* guidance_interval"):
        generate(model, PROMPTS, [random_embedding(model)], settings, seed=5)


def test_pure_noise_is_above_every_level(model: TextToImageModel) -> None:
    """A schedule that ends in nothing but noise, as those of a zero terminal SNR."""
    config = {**model.scheduler_config, "rescale_betas_zero_snr": True}
    config["timestep_spacing"] = "trailing"
    zero = replace(model, scheduler_config=config)
    settings = replace(SETTINGS, scheduler="DDIMScheduler", guidance_interval=(0.2, 5.0))
    images = generate(zero, PROMPTS, [random_embedding(model)], settings, seed=5)
    assert len(images) == len(PROMPTS)
