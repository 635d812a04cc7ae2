"""Our prompts, loss, gradient and files against diffusers' own way of doing the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from coti.core.quiet_libraries import quiet_libraries
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.loss import DenoisingLoss
from coti.inversion.prompt_encoder import PromptEncoder

PROMPTS = ["a photo of a <t>", "a <t> on a dark <t>, nice", "the painting", "<t>"]


def random_embedding(model: TextToImageModel, num_vectors: int = 3) -> Embedding:
    """An embedding with random vectors."""
    generator = torch.Generator().manual_seed(1)
    parts = [torch.randn(num_vectors, width, generator=generator) for width in model.widths]
    return Embedding("<t>", tuple(parts), {}, model.embedding_keys)


def load_pipeline(folder: Path) -> Any:
    """The folder as diffusers loads it."""
    from diffusers import DiffusionPipeline

    with quiet_libraries():
        pipe = DiffusionPipeline.from_pretrained(str(folder), use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_prompts_are_encoded_as_after_load_textual_inversion(
    model_folder: Callable[..., Path],
    load_model: Callable[..., TextToImageModel],
    tmp_path: Path,
) -> None:
    """Hidden states equal, bit for bit, those of a pipeline that loaded our saved file."""
    model = load_model("epsilon")
    embedding = random_embedding(model)
    pipe = load_pipeline(model_folder("epsilon"))
    pipe.load_textual_inversion(str(embedding.save(tmp_path / "t.safetensors")))
    encoder = PromptEncoder(model, {"<t>": 3})

    ours = encoder(encoder.tokenize(PROMPTS), embedding.parts).hidden
    theirs, _ = pipe.encode_prompt(PROMPTS, "cpu", 1, False)

    assert torch.equal(ours, theirs)


def test_sdxl_prompts_are_encoded_as_in_diffusers(
    model_folder: Callable[..., Path], load_model: Callable[..., TextToImageModel], tmp_path: Path
) -> None:
    """Both encoders' hidden states and the pooled one, from the file's two keys."""
    from safetensors.torch import load_file

    model = load_model("sdxl")
    embedding = random_embedding(model)
    pipe = load_pipeline(model_folder("sdxl"))
    saved = load_file(embedding.save(tmp_path / "t.safetensors"))
    for key, suffix in (("clip_l", ""), ("clip_g", "_2")):
        pipe.load_textual_inversion(
            {"<t>": saved[key]},
            text_encoder=getattr(pipe, f"text_encoder{suffix}"),
            tokenizer=getattr(pipe, f"tokenizer{suffix}"),
        )
    encoder = PromptEncoder(model, {"<t>": 3})

    ours = encoder(encoder.tokenize(PROMPTS), embedding.parts)
    hidden, _, pooled, _ = pipe.encode_prompt(
        PROMPTS, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )

    assert torch.equal(ours.hidden, hidden)
    assert torch.equal(ours.added["text_embeds"], pooled)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_loss_and_gradient_are_those_of_the_diffusers_example(
    kind: str, model_folder: Callable[..., Path], load_model: Callable[..., TextToImageModel]
) -> None:
    """The example resizes and trains the whole vocabulary; the new rows' gradient is ours."""
    model = load_model(kind)
    embedding = random_embedding(model)
    prompts = [prompt for prompt in PROMPTS if "<t>" in prompt]
    generator = torch.Generator().manual_seed(7)
    latents, noise = torch.randn(2, len(prompts), *model.latent_shape, generator=generator)
    timesteps = torch.tensor([3, 500, 998])

    vectors = [embedding.parts[0].clone().requires_grad_()]
    encoder = PromptEncoder(model, {"<t>": 3})
    conditioning = encoder(encoder.tokenize(prompts), vectors)
    ours = DenoisingLoss(model)(latents, noise, timesteps, conditioning)
    ours.backward()

    # The example's computation, as in examples/textual_inversion of diffusers.
    pipe = load_pipeline(model_folder(kind))
    tokenizer, text_encoder, scheduler = pipe.tokenizer, pipe.text_encoder, pipe.scheduler
    names = ["<t>", "<t>_1", "<t>_2"]
    tokenizer.add_tokens(names)
    rows = tokenizer.convert_tokens_to_ids(names)
    text_encoder.resize_token_embeddings(len(tokenizer))
    table = text_encoder.get_input_embeddings().weight
    table.data[rows] = embedding.parts[0]
    ids = tokenizer(
        [prompt.replace("<t>", " ".join(names)) for prompt in prompts],
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids
    noisy = scheduler.add_noise(latents, noise, timesteps)
    predicted = pipe.unet(noisy, timesteps, text_encoder(ids)[0]).sample
    velocity = kind == "v_prediction"
    target = scheduler.get_velocity(latents, noise, timesteps) if velocity else noise
    theirs = F.mse_loss(predicted.float(), target.float(), reduction="mean")
    theirs.backward()

    assert vectors[0].grad is not None
    assert float(vectors[0].grad.norm()) > 0
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(vectors[0].grad, table.grad[rows], rtol=1e-4, atol=1e-7)


def test_the_models_own_parts_are_left_as_they_were(model: TextToImageModel) -> None:
    """Encoding with new tokens changes neither tokenizer nor vocabulary, even after an error."""
    before = copy.deepcopy(model.text_encoders[0].state_dict())
    vocabulary = model.text_encoders[0].get_input_embeddings()
    size = len(model.tokenizers[0])
    encoder = PromptEncoder(model, {"<t>": 3})
    ids = encoder.tokenize(PROMPTS)
    encoder(ids, random_embedding(model).parts)
    with pytest.raises(RuntimeError):
        encoder(ids, [torch.zeros(3, 5)])

    assert len(model.tokenizers[0]) == size
    assert model.text_encoders[0].get_input_embeddings() is vocabulary
    after = model.text_encoders[0].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
