from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from coti.core.errors import EmbeddingError
from coti.generation.sampler import generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.inversion.prompt_encoder import PromptEncoder
from coti.settings import GenerationSettings, TokenSettings


def settings(**changes: object) -> TokenSettings:
    """Settings that fit the tiny models."""
    values = {"placeholder_token": "<t>", "initializer": "shoe", "num_vectors": 2, **changes}
    return TokenSettings(**values)  # type: ignore[arg-type]


def test_every_vector_starts_at_the_initializer_word(model: TextToImageModel) -> None:
    """All vectors are the initializer's up to a thousandth, and not equal to each other."""
    start = Embedding.initial(model, settings(num_vectors=3), seed=5, concept="ankle boot")
    row = model.tokenizers[0].encode("shoe", add_special_tokens=False)[0]
    expected = model.text_encoders[0].get_input_embeddings().weight[row]
    distance = (start.parts[0] - expected).norm(dim=1) / expected.norm()
    assert (distance < 3e-3).all()
    assert not torch.equal(start.parts[0][0], start.parts[0][1])
    assert start.metadata["concept"] == "ankle boot"
    assert start.metadata["base_model_fingerprint"] == model.fingerprint


def test_the_seed_decides_the_start(model: TextToImageModel) -> None:
    """One seed gives one start."""
    first, again, other = (Embedding.initial(model, settings(), seed) for seed in (1, 1, 2))
    assert torch.equal(first.parts[0], again.parts[0])
    assert not torch.equal(first.parts[0], other.parts[0])


@pytest.mark.parametrize("token", ["boot", "<|endoftext|>"])
def test_a_token_in_the_vocabulary_is_refused(model: TextToImageModel, token: str) -> None:
    """The message names the token and proposes another one."""
    with pytest.raises(EmbeddingError, match=r"is in the model's vocabulary already; choose"):
        Embedding.initial(model, settings(placeholder_token=token))


def test_an_initializer_of_several_tokens_is_refused_with_its_pieces(
    model: TextToImageModel,
) -> None:
    """The message shows the pieces and the two ways out."""
    with pytest.raises(
        EmbeddingError,
        match=r"'ankle boot' splits into 2 tokens \(ankle, boot\); give a word that is a single",
    ):
        Embedding.initial(model, settings(initializer="ankle boot"))


def test_an_empty_initializer_is_refused(model: TextToImageModel) -> None:
    """Nothing is no word."""
    with pytest.raises(EmbeddingError, match="initializer ' ' is no token"):
        Embedding.initial(model, settings(initializer=" "))


def test_a_file_can_be_the_start(model: TextToImageModel, tmp_path: Path) -> None:
    """Its vectors are taken as they are, under the new token."""
    vectors = torch.randn(2, 32)
    path = Embedding("<old>", (vectors,)).save(tmp_path / "old.safetensors")
    start = Embedding.initial(model, settings(initializer=str(path)))
    assert start.token == "<t>"
    assert torch.equal(start.parts[0], vectors)


def test_a_file_of_the_wrong_width_says_which_model_it_is_for(
    model: TextToImageModel, tmp_path: Path
) -> None:
    """The width of a known base model is named."""
    path = Embedding("<old>", (torch.ones(2, 768),)).save(tmp_path / "old.safetensors")
    with pytest.raises(
        EmbeddingError, match=r"old.safetensors has vectors of width 768, made for Stable Diff"
    ):
        Embedding.initial(model, settings(initializer=str(path)))


def test_a_file_with_another_number_of_vectors_is_refused(
    model: TextToImageModel, tmp_path: Path
) -> None:
    """The remedy is the number to set."""
    path = Embedding("<old>", (torch.ones(5, 32),)).save(tmp_path / "old.safetensors")
    with pytest.raises(EmbeddingError, match="set num_vectors: 5"):
        Embedding.initial(model, settings(initializer=str(path)))


def test_a_missing_file_is_refused(model: TextToImageModel) -> None:
    """A path that isn't there is not mistaken for a word."""
    with pytest.raises(EmbeddingError, match=r"no embedding file nowhere.safetensors"):
        Embedding.initial(model, settings(initializer="nowhere.safetensors"))


def test_an_sdxl_file_is_refused_by_a_model_with_one_encoder(
    load_model: Callable[..., TextToImageModel],
) -> None:
    """Two widths against one."""
    embedding = Embedding(
        "<t>", (torch.zeros(1, 768), torch.zeros(1, 1280)), {}, ("clip_l", "clip_g")
    )
    with pytest.raises(EmbeddingError, match=r"width 768 and 1280, made for SDXL; .* width 32"):
        embedding.check_fits(load_model("epsilon"))


def test_a_prompt_that_would_lose_the_token_is_refused(model: TextToImageModel) -> None:
    """Cutting a prompt must not cut the token."""
    encoder = PromptEncoder(model, {"<t>": 2})
    with pytest.raises(EmbeddingError, match="<t> would be cut off; shorten it"):
        encoder.tokenize(["a " * 74 + "<t>"])
    encoder.tokenize(["a " * 73 + "<t>"])


def test_tokens_inside_each_other_are_refused(model: TextToImageModel) -> None:
    """Their vectors could not be told apart in a prompt."""
    with pytest.raises(EmbeddingError, match="cannot stand in one prompt"):
        PromptEncoder(model, {"<t>": 1, "<t>_1": 2})


def test_several_tokens_keep_their_order(model: TextToImageModel) -> None:
    """Vectors go to the tokens in the order the tokens were given, wherever they stand."""
    encoder = PromptEncoder(model, {"<x>": 2, "<y>": 1})
    vectors = torch.randn(3, 32)
    both = encoder(encoder.tokenize(["<y> a <x>"]), [vectors]).hidden
    alone = PromptEncoder(model, {"<y>": 1, "<x>": 2})
    same = alone(alone.tokenize(["<y> a <x>"]), [vectors[[2, 0, 1]]]).hidden
    assert torch.equal(both, same)


@pytest.mark.parametrize("written", ["<BOOT-a> photo", "a <Boot-A>, Boot", "x <boot-a> y"])
def test_a_prompt_may_write_the_token_in_capitals(model: TextToImageModel, written: str) -> None:
    """The ids are those of the prompt in small letters, all of the token's vectors among them."""
    encoder = PromptEncoder(model, {"<boot-a>": 3})
    (found,) = encoder.tokenize([written])
    assert torch.equal(found, encoder.tokenize([written.lower()])[0])
    assert sum(int(number) >= len(model.tokenizers[0]) for number in found[0]) == 3


def test_two_tokens_that_differ_in_capitals_alone_are_one(
    model: TextToImageModel, tmp_path: Path
) -> None:
    """It was called a prompt that is too long."""
    vectors = torch.randn(2, 32)
    both = []
    for token in ("Anna", "anna"):
        save_file({token: vectors}, tmp_path / f"{token}.safetensors")
        both.append(Embedding.load(tmp_path / f"{token}.safetensors"))
    with pytest.raises(EmbeddingError, match="Two embeddings share the token anna; rename one"):
        generate(model, ["a photo of Anna"], both, GenerationSettings(num_inference_steps=1), 0)


@pytest.mark.parametrize("kind", ["epsilon", "sdxl"])
def test_two_embeddings_of_one_model_do_not_meet(
    kind: str, load_model: Callable[..., TextToImageModel]
) -> None:
    """One encodes while the other does, in another thread: each sees its own vectors, and the
    model's text encoders are what they were."""
    model = load_model(kind)
    lookups = [encoder.get_input_embeddings() for encoder in model.text_encoders]
    vectors = [[torch.full((1, width), 0.1 + place) for width in model.widths] for place in (0, 1)]

    def encoded(place: int) -> torch.Tensor:
        encoder = PromptEncoder(model, {"<t>": 1})
        return encoder(encoder.tokenize(["a <t>"]), vectors[place]).hidden

    apart = [encoded(place) for place in (0, 1)]
    assert not torch.equal(*apart)
    # Whoever is inside lets the other one go on, before a token is looked up and in each layer.
    hooks = [
        part.register_forward_pre_hook(lambda *_: time.sleep(0.05))
        for name, part in model.text_encoders[0].named_modules()
        if name.endswith(("embeddings", "mlp"))
    ]
    try:
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(encoded, (0, 1)))
    finally:
        for hook in hooks:
            hook.remove()
    assert all(map(torch.equal, together, apart))
    assert [encoder.get_input_embeddings() for encoder in model.text_encoders] == lookups
