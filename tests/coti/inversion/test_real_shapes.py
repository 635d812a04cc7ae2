"""Stable Diffusion 1.5, 2.0 and SDXL: every block and depth, at a tenth of the width."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from coti.core.errors import ModelError
from coti.core.quiet_libraries import quiet_libraries
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.inversion.families.configurations import write_configs
from coti.inversion.families.random_base_model import reduced, write_random
from coti.inversion.families.registry import architectures, recognise
from coti.inversion.loss import DenoisingLoss
from coti.inversion.prompt_encoder import PromptEncoder
from coti.inversion.trainer import train_cycle
from coti.settings import ModelSettings, ScheduleSettings, TokenSettings, TrainSettings
from tests.coti.inversion.ldm import write_single_file

KINDS = ("sd15", "sd2", "sdxl")
SINGLE_FILES = KINDS
"""Of which there are single files."""
WIDTHS = {"sd15": (192,), "sd2": (256,), "sdxl": (192, 320)}
TOKEN = TokenSettings(placeholder_token="<t>", initializer="penguin", num_vectors=2)


@pytest.fixture(scope="session")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder of a kind with random weights, made once."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind) / "model"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[kind] = write_random(reduced(kind, resolution=64), folder, torch.float32)
        return made[kind]

    return make


def load(folder: Path, **changes: Any) -> TextToImageModel:
    """The model on the CPU."""
    settings = ModelSettings(base_model=str(folder), device="cpu", dtype="float32")
    return load_text_to_image(replace(settings, **changes))


def text_parts(pipe: Any, model: TextToImageModel) -> list[tuple[Any, Any]]:
    """The pipeline's tokenizers and text encoders, in the order of an embedding's parts."""
    return [
        (getattr(pipe, part.tokenizer), getattr(pipe, part.folder))
        for part in model.family.text_encoders
    ]


def test_the_published_sizes_are_met() -> None:
    """Parameters of the UNet as the model cards give them, counted without making a weight."""
    from diffusers import UNet2DConditionModel

    for kind, millions in (("sd15", 860), ("sd2", 866), ("sdxl", 2567)):
        with torch.device("meta"), quiet_libraries():
            unet = UNet2DConditionModel.from_config(dict(architectures()[kind]["unet"]))
        assert round(sum(p.numel() for p in unet.parameters()) / 1e6) == millions


def test_the_tokenizer_is_clips(tmp_path: Path) -> None:
    """The ids that open_clip's own tokenizer gives, and the padding of each tower.

    (With "!" as padding, as in the published files, a "!" in a prompt is padding too.)
    """
    import open_clip
    from transformers import CLIPTokenizer

    folder = write_configs(architectures()["sdxl"], tmp_path)
    theirs = open_clip.get_tokenizer("ViT-L-14")
    for part, pad in (("tokenizer", 49407), ("tokenizer_2", 0)):
        tokenizer = CLIPTokenizer.from_pretrained(str(folder / part))
        assert len(tokenizer) == 49408
        assert tokenizer.pad_token_id == pad
        for text in ("a photo of a cat, café.", "emperor penguin chick's 3.5 mm"):
            expected = theirs([text])[0].tolist()
            assert tokenizer(text).input_ids == expected[: expected.index(49407) + 1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradient_are_diffusers(kind: str, shaped: Callable[[str], Path]) -> None:
    """Epsilon for 1.5 and XL, v for 2.0: the scheduler's own noise and target, the pipeline's own
    prompt encoding, its UNet; only the new rows of the vocabulary are compared. In float64, where
    a deep network's rounding does not hide a mistake."""
    from diffusers import DDPMScheduler, DiffusionPipeline

    model = load(shaped(kind))
    for part in (model.unet, *model.text_encoders):
        part.double()
    model = replace(model, dtype=torch.float64)
    assert model.widths == WIDTHS[kind]
    assert model.prediction_type == ("v_prediction" if kind == "sd2" else "epsilon")
    embedding = Embedding.initial(model, TOKEN)
    prompts = ["a photo of a <t>", "the <t>"]
    generator = torch.Generator().manual_seed(7)
    latents, noise = torch.randn(2, 2, *model.latent_shape, generator=generator)
    timesteps = torch.tensor([40, 900])
    vectors = [part.clone().requires_grad_() for part in embedding.parts]
    encoder = PromptEncoder(model, {"<t>": 2})
    ours = DenoisingLoss(model)(
        latents, noise, timesteps, encoder(encoder.tokenize(prompts), vectors)
    )
    ours.backward()

    with quiet_libraries():
        pipe = DiffusionPipeline.from_pretrained(str(shaped(kind)), torch_dtype=torch.float64)
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    tables = []
    for (tokenizer, text), part in zip(text_parts(pipe, model), embedding.parts, strict=True):
        tokenizer.add_tokens(["<t>", "<t>_1"])
        with quiet_libraries():
            text.resize_token_embeddings(len(tokenizer))
        table = text.get_input_embeddings().weight
        table.data[-2:] = part
        tables.append(table)
    added = None
    if model.family.pipeline == "StableDiffusionXLPipeline":
        hidden, _, pooled, _ = pipe.encode_prompt(
            prompts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        sizes = pipe._get_add_time_ids(
            (64, 64), (0, 0), (64, 64), hidden.dtype, pipe.text_encoder_2.config.projection_dim
        )
        added = {"text_embeds": pooled, "time_ids": sizes.repeat(2, 1)}
    else:
        hidden, _ = pipe.encode_prompt(prompts, "cpu", 1, False)
    noisy = scheduler.add_noise(latents, noise, timesteps).double()
    predicted = pipe.unet(noisy, timesteps, hidden, added_cond_kwargs=added).sample
    velocity = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, timesteps) if velocity else noise
    theirs = F.mse_loss(predicted.float(), target.float())
    theirs.backward()

    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    for part, table in zip(vectors, tables, strict=True):
        assert part.grad is not None
        assert float(part.grad.norm()) > 0
        torch.testing.assert_close(part.grad, table.grad[-2:].float(), rtol=1e-4, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_trains_and_its_file_loads_in_diffusers(
    kind: str, shaped: Callable[[str], Path], tmp_path: Path
) -> None:
    """Two steps with gradient checkpointing; the pipeline then knows the token from our file."""
    from diffusers import DiffusionPipeline

    model = load(shaped(kind))
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    settings = TrainSettings(batch_size=1, max_steps=2, gradient_checkpointing=True)
    start = Embedding.initial(model, TOKEN)
    result = train_cycle(model, images, None, start, settings, ScheduleSettings(), None, 0)
    for before, after in zip(start.parts, result.embedding.parts, strict=True):
        assert not torch.equal(before, after)
    path = result.embedding.save(tmp_path / "learned_embeds.safetensors")

    with quiet_libraries():
        pipe = DiffusionPipeline.from_pretrained(str(shaped(kind)))
        texts = text_parts(pipe, model)
        if len(texts) == 1:
            tokenizer, text = texts[0]
            pipe.load_textual_inversion(str(path), text_encoder=text, tokenizer=tokenizer)
        else:
            parts = Embedding.load(path).parts
            for vectors, (tokenizer, text) in zip(parts, texts, strict=True):
                pipe.load_textual_inversion(
                    {"<t>": vectors}, text_encoder=text, tokenizer=tokenizer
                )
    for part, (_, text) in zip(result.embedding.parts, texts, strict=True):
        assert torch.equal(text.get_input_embeddings().weight[-2:], part)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SINGLE_FILES)
def test_a_single_file_is_the_same_model(
    kind: str, shaped: Callable[[str], Path], tmp_path: Path
) -> None:
    """Every tensor of every part equals the folder's, read by diffusers' conversion, offline."""
    path = write_single_file(shaped(kind), tmp_path / "model.safetensors", kind == "sd2")
    folder = load(shaped(kind))
    single = load(path, config=str(shaped(kind)))
    assert single.prediction_type == folder.prediction_type
    assert single.fingerprint != folder.fingerprint
    for ours, theirs in (
        (single.unet, folder.unet),
        (single.vae, folder.vae),
        *zip(single.text_encoders, folder.text_encoders, strict=True),
    ):
        expected = theirs.state_dict()
        found = ours.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())


def header_only(path: Path, shapes: dict[str, list[int]]) -> Path:
    """A safetensors file of such tensors."""
    from safetensors.torch import save_file

    save_file({key: torch.zeros(shape) for key, shape in shapes.items()}, path)
    return path


def test_single_files_are_recognised_or_refused(tmp_path: Path) -> None:
    """By names and shapes alone; 2.x has to be named, other things are no models."""
    first = "model.diffusion_model.input_blocks.0.0.weight"
    cross = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    path = tmp_path / "x.safetensors"
    assert recognise(header_only(path, {first: [1, 4], cross: [1, 768]}), "x") == "sd15"
    xl = {first: [1, 4], "conditioner.embedders.1.model.positional_embedding": [1, 1]}
    assert recognise(header_only(path, xl), "x") == "sdxl"
    with pytest.raises(ModelError, match=r"SDXL checkpoint that predicts v"):
        recognise(header_only(path, {**xl, "v_pred": [1]}), "x")
    with pytest.raises(ModelError, match=r"set model.config to sd2-base .* or sd2 \(768"):
        recognise(header_only(path, {first: [1, 4], cross: [1, 1024]}), "x")
    with pytest.raises(ModelError, match="takes 9 latent channels: an inpainting"):
        recognise(header_only(path, {first: [1, 9], cross: [1, 768]}), "x")
    with pytest.raises(ModelError, match=r"x is no checkpoint of sd15, sd2-base, sd2, sdxl"):
        recognise(header_only(path, {"lora_up": [1, 1]}), "x")
    path.write_bytes(b"junk")
    with pytest.raises(ModelError, match="x is damaged or no safetensors file"):
        recognise(path, "x")
    with pytest.raises(ModelError, match=r"model.config 'sd3' is neither one of sd15, sd2-base"):
        load(header_only(path, {first: [1, 4]}), config="sd3")
    with pytest.raises(ModelError, match=r"cannot be read as sd15: .* Name what it is"):
        load(header_only(path, {first: [1, 4], cross: [1, 768]}))
