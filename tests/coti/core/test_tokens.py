"""Placeholders are what every consumer's tokenizer keeps whole."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from coti.core.errors import ConfigError
from coti.core.tokens import fault_of_token, folded, holds_token, replace_token, token_of
from coti.settings import TokenSettings


@cache
def tokenizer() -> Any:
    """CLIP's, of the bundled base model."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained("assets/models/base/tokenizer")


def ids_in_diffusers(token: str, vectors: int, prompt: str) -> tuple[list[int], list[int]]:
    """A prompt's ids as a diffusers pipeline makes them with the token loaded; and the vectors'."""
    from diffusers.loaders import TextualInversionLoaderMixin

    extended = copy.deepcopy(tokenizer())
    names = [token, *(f"{token}_{i}" for i in range(1, vectors))]
    extended.add_tokens(names)
    converted = TextualInversionLoaderMixin()._maybe_convert_prompt(prompt, extended)
    ids = extended(converted, add_special_tokens=False).input_ids
    return ids, extended.convert_tokens_to_ids(names)


@settings(max_examples=40)
@given(st.text(min_size=1, max_size=12))
def test_every_token_in_our_form_is_whole_in_diffusers(name: str) -> None:
    """All of its vectors stand in the prompt, in order, once."""
    token = token_of(name)
    assert token_of(token) == token
    if fault_of_token(token):
        assert not token
        return
    assume(f"{token}</w>" not in tokenizer().get_vocab() and token not in tokenizer().get_vocab())
    prompt = f"Photo {token} end"
    assume(folded(prompt).count(token) == 1)
    ids, own = ids_in_diffusers(token, 3, prompt)
    assert [number for number in ids if number in own] == own
    before = tokenizer()("Photo", add_special_tokens=False).input_ids
    after = tokenizer()("end", add_special_tokens=False).input_ids
    assert ids == [*before, *own, *after]


def test_capitals_lose_vectors_in_diffusers() -> None:
    """Why they are refused: the first vector of four is found, or none."""
    ids, own = ids_in_diffusers("<Ankle-Boot>", 4, "a <Ankle-Boot>")
    assert len(set(ids) & set(own)) < 4


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(st.text(max_size=20))
def test_folding_is_what_the_tokenizer_does(text: str) -> None:
    """A folded prompt has the prompt's own ids."""
    assume(all(c.isprintable() or c.isspace() for c in text))
    ids = tokenizer()(text).input_ids
    assert tokenizer()(folded(text)).input_ids == ids


@given(st.text(min_size=1, max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_a_token_is_found_in_any_letters(name: str, before: str, after: str) -> None:
    """Capitals in a prompt hide nothing, and nothing else is taken for it."""
    token = token_of(name)
    assume(not fault_of_token(token) and folded(token.upper()) == token)
    assert holds_token(f"{before} {token.upper()} {after}", token)
    assert not holds_token(replace_token(f"a {token.upper()} b", token, "#"), token + "!")


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("AnkleBoot", "small letters.*'ankleboot'"),
        ("<Ankle-Boot>", "'<ankle-boot>'"),
        ("cafe\u0301", "composed Unicode.*'café'"),
        ("ankle boot", "one word without spaces"),
        ("ankle\u200bboot", "one word"),
        ("", "is empty"),
    ],
)
def test_settings_refuse_what_tokenizers_take_apart(token: str, said: str) -> None:
    """With the token to write instead."""
    with pytest.raises(ConfigError, match=f"placeholder_token .*{said}"):
        TokenSettings(placeholder_token=token)
