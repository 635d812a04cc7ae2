from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from coti.core.errors import EmbeddingError, ModelError
from coti.core.weights import read_pickled
from coti.inversion.adapters.embedding import Embedding, describe_embedding
from coti.inversion.adapters.embedding_file import embedding_file_name
from coti.inversion.convert_embedding import convert_embedding
from coti.inversion.safety import inspect_embedding


def test_the_file_has_one_key_the_token_and_a_header(tmp_path: Path) -> None:
    """[num_vectors, width] float32 under the token; metadata in the safetensors header."""
    vectors = torch.randn(4, 128)
    embedding = Embedding("<ankle-boot>", (vectors,), {"concept": "ankle boot", "step": "150"})
    path = embedding.save(tmp_path / "learned_embeds.safetensors")
    with safe_open(str(path), framework="pt") as file:
        assert list(file.keys()) == ["<ankle-boot>"]
        assert torch.equal(file.get_tensor("<ankle-boot>"), vectors)
        assert file.metadata()["concept"] == "ankle boot"
        assert file.metadata()["num_vectors"] == "4"


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """Token, vectors and metadata come back, for one text encoder and for two."""
    one, two = torch.randn(2, 8), torch.randn(2, 16)
    for parts, keys in (((one,), ()), ((one, two), ("clip_l", "clip_g"))):
        embedding = Embedding("<t>", parts, {"step": "3"}, keys)
        back = Embedding.load(embedding.save(tmp_path / "t.safetensors"))
        assert back.token == "<t>"
        assert all(torch.equal(a, b) for a, b in zip(back.parts, embedding.parts, strict=True))
        assert back.metadata["step"] == "3"


def test_safetensors_by_another_name_are_read(tmp_path: Path) -> None:
    """What a file holds counts, not that somebody called it .pt; converting it says so."""
    path = Embedding("<t>", (torch.ones(2, 8),)).save(tmp_path / "t.safetensors")
    other = path.rename(tmp_path / "t.pt")
    assert torch.equal(Embedding.load(other).parts[0], torch.ones(2, 8))
    with pytest.raises(ModelError, match=r"by another name: name it t\.safetensors"):
        read_pickled(other)


def test_equal_embeddings_make_equal_bytes(tmp_path: Path) -> None:
    """Saving is deterministic, so that files can be compared."""
    embedding = Embedding("<t>", (torch.ones(2, 8),), {"b": "1", "a": "2", "c": "3"})
    first = embedding.save(tmp_path / "a.safetensors").read_bytes()
    assert embedding.save(tmp_path / "b.safetensors").read_bytes() == first


@pytest.mark.parametrize("name", ["<t>.safetensors", "my word.safetensors"])
def test_file_names_that_tools_stumble_over_are_refused(tmp_path: Path, name: str) -> None:
    """No spaces, no angle brackets; the message proposes a name."""
    with pytest.raises(EmbeddingError, match=r"\(t.safetensors would do\)"):
        Embedding("<t>", (torch.ones(1, 4),)).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@given(st.text(min_size=1, max_size=30))
def test_every_token_has_a_usable_file_name(token: str) -> None:
    """Whatever the token, the proposed name has no spaces, brackets or separators."""
    name = embedding_file_name(token)
    assert name.endswith(".safetensors")
    assert not set(name) & set("<> /\\\n\t\0")
    assert not name.startswith(".")
    assert os.path.basename(name) == name


def test_not_finite_vectors_are_not_saved(tmp_path: Path) -> None:
    """A broken embedding leaves no file."""
    with pytest.raises(EmbeddingError, match="not finite; nothing is saved"):
        Embedding("<t>", (torch.full((1, 4), torch.nan),)).save(tmp_path / "t.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("tensors", "token"),
    [
        ({"<cat-toy>": torch.ones(768)}, "<cat-toy>"),
        ({"emb_params": torch.ones(8, 768)}, "file"),
        ({"*": torch.ones(1, 768)}, "file"),
        ({"clip_l": torch.ones(2, 768), "clip_g": torch.ones(2, 1280)}, "file"),
    ],
)
def test_files_of_other_tools_are_read(
    tmp_path: Path, tensors: dict[str, torch.Tensor], token: str
) -> None:
    """diffusers' flat vector, web UI's emb_params, SDXL's two keys; half precision too."""
    path = tmp_path / "file.safetensors"
    save_file({name: value.half() for name, value in tensors.items()}, path)
    embedding = Embedding.load(path)
    assert embedding.token == token
    assert embedding.parts[0].dtype == torch.float32
    assert embedding.parts[0].shape[1] == 768
    assert Embedding.load(path, token="<mine>").token == "<mine>"


def test_bad_files_are_named(tmp_path: Path) -> None:
    """Missing, pickled, damaged, or something else entirely: one sentence each."""
    with pytest.raises(EmbeddingError, match="There is no embedding file"):
        Embedding.load(tmp_path / "no.safetensors")
    (tmp_path / "old.pt").write_bytes(b"x")
    with pytest.raises(EmbeddingError, match="can run code"):
        Embedding.load(tmp_path / "old.pt")
    (tmp_path / "bad.safetensors").write_bytes(b"not a header at all")
    with pytest.raises(EmbeddingError, match="damaged or no safetensors"):
        Embedding.load(tmp_path / "bad.safetensors")
    save_file({"a": torch.ones(1, 2), "b": torch.ones(1)}, tmp_path / "two.safetensors")
    with pytest.raises(EmbeddingError, match=r"holds \['a', 'b'\], not one embedding"):
        Embedding.load(tmp_path / "two.safetensors")


def test_parts_must_be_float32_matrices_of_equal_length() -> None:
    """Shapes are checked where an embedding is made."""
    with pytest.raises(EmbeddingError, match=r"float32 \[num_vectors, width\]"):
        Embedding("<t>", (torch.ones(3),))
    with pytest.raises(EmbeddingError, match="as many for each text encoder"):
        Embedding("<t>", (torch.ones(3, 2), torch.ones(2, 2)), {}, ("clip_l", "clip_g"))


def test_the_two_files_of_diffusers_own_sdxl_example_are_one_embedding(tmp_path: Path) -> None:
    """A folder with ``learned_embeds`` and ``learned_embeds_2``, one text encoder each."""
    first, second = torch.ones(2, 768), torch.ones(2, 1280)
    save_file({"<boot>": first}, tmp_path / "learned_embeds.safetensors")
    save_file({"<boot>": second}, tmp_path / "learned_embeds_2.safetensors")
    embedding = Embedding.load(tmp_path)
    assert embedding.token == "<boot>"
    assert [part.shape for part in embedding.parts] == [(2, 768), (2, 1280)]
    assert describe_embedding(embedding) == "for SDXL"


def test_an_image_that_hides_an_embedding_is_named(tmp_path: Path) -> None:
    """What to do instead."""
    path = tmp_path / "boot.png"
    path.write_bytes(b"x")
    with pytest.raises(EmbeddingError, match=r"is an image.*as a \.pt or"):
        Embedding.load(path)


def test_several_parts_need_a_key_each() -> None:
    """Under the token alone the second would overwrite the first."""
    with pytest.raises(EmbeddingError, match=r"2 text encoders and keys .*a key of its own"):
        Embedding("<t>", (torch.ones(1, 2), torch.ones(1, 3)))


UNUSABLE: dict[str, tuple[torch.Tensor, str]] = {
    "not a number": (torch.tensor([[1.0] * 767 + [torch.nan]]), "not finite"),
    "infinite": (torch.full((2, 768), -torch.inf), "not finite"),
    "zero": (torch.cat([torch.ones(1, 768), torch.zeros(1, 768)]), "a vector of zeros"),
    "huge": (torch.full((1, 768), 1e20), "as large as 1e\\+20"),
    "whole numbers": (torch.ones(1, 768, dtype=torch.int32), "int32, floating point"),
    "truth values": (torch.ones(1, 768, dtype=torch.bool), "bool, floating point"),
    "eight bits": (torch.ones(1, 768).to(torch.float8_e4m3fn), "float8_e4m3fn, floating point"),
    "no vector": (torch.ones(0, 768), r"shape \[0, 768\]"),
    "three dimensions": (torch.ones(1, 2, 768), r"shape \[1, 2, 768\]"),
    "past float32": (torch.full((1, 768), 1e300, dtype=torch.float64), "as large as 1e\\+300"),
}
"""Vectors that were generated with as black images, or ended in a traceback."""


@pytest.mark.parametrize("what", UNUSABLE)
@pytest.mark.parametrize("keys", ["<t>", "emb_params", "clip_l clip_g", "string_to_param.*"])
def test_vectors_that_no_model_can_use_are_refused_by_every_reader(
    what: str, keys: str, tmp_path: Path
) -> None:
    """File, folder of several, converted pickle, promotion: one sentence with the file's name; and
    what is refused on reading is refused on writing.
    """
    vectors, said = UNUSABLE[what]
    good = torch.ones(len(vectors), 1280)
    tensors = dict(zip(keys.split(), (vectors, good), strict=False))
    path = tmp_path / "learned_embeds.safetensors"
    save_file(tensors, path)
    torch.save(tensors, tmp_path / "old.pt")
    for read in (
        lambda: Embedding.load(path),
        lambda: Embedding.load(tmp_path),
        lambda: convert_embedding(tmp_path / "old.pt", tmp_path / "new.safetensors"),
    ):
        with pytest.raises(EmbeddingError, match=f"(embeds|old).* no usable embedding .*{said}"):
            read()
    assert inspect_embedding(path)
    if vectors.ndim == 2 and vectors.dtype == torch.float32:
        parts = tuple(tensors.values())
        names = tuple(tensors) if len(parts) > 1 else ()
        with pytest.raises(EmbeddingError, match=f"{said}.*nothing is saved"):
            Embedding("<t>", parts, {}, names).save(tmp_path / "again.safetensors")


@pytest.mark.parametrize(
    ("given", "token"),
    [("<Ankle-Boot>", "<ankle-boot>"), ("AnkleBoot", "ankleboot"), ("cafe\u0301", "café")],
)
def test_a_token_that_tokenizers_take_apart_is_another_one_here(
    given: str, token: str, tmp_path: Path
) -> None:
    """On reading, with the file's own in the metadata; where the user names it, it is refused; a
    file that says it is not promoted.
    """
    path = tmp_path / "t.safetensors"
    save_file({given: torch.ones(4, 768)}, path)
    found = Embedding.load(path)
    assert (found.token, found.metadata["token_in_file"]) == (token, given)
    assert list(found.named_parts) == [token]
    assert "tokenizers read it" in inspect_embedding(path)[0]
    torch.save({given: torch.ones(4, 768)}, tmp_path / "t.pt")
    assert convert_embedding(tmp_path / "t.pt", tmp_path / "new.safetensors").token == token
    assert Embedding.load(tmp_path / "new.safetensors").token == token
    with pytest.raises(EmbeddingError, match=f"must be in small letters.*{token}"):
        Embedding.load(path, token=given)
    save_file({"emb_params": torch.ones(1, 768)}, tmp_path / "My Boot.safetensors")
    assert Embedding.load(tmp_path / "My Boot.safetensors").token == "my-boot"
