from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coti.core.errors import TrainingError
from coti.inversion import latents
from coti.inversion.base_model import TextToImageModel
from coti.inversion.latent_store import FolderLatentStore
from coti.inversion.latents import (
    decode_latents,
    encode_latents,
    fit_to_resolution,
)
from tests.adversary.bit_flips import flip_bit
from tests.coti.inversion.test_failures import largest_file
from tests.coti.small_disk import small_disk


def test_cached_latents_are_the_autoencoders(model: TextToImageModel, images: torch.Tensor) -> None:
    """mean + std·ε, scaled, is what encoding and sampling with the same ε gives."""
    cache = encode_latents(model, images, batch_size=4)
    posterior = model.vae.encode(images.float() / 127.5 - 1).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(0))
    theirs = posterior.sample(torch.Generator().manual_seed(0)) * model.vae.config.scaling_factor
    ours = cache.sample(torch.arange(10), noise)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_mirror_images_are_encoded_after_the_upright_ones(
    model: TextToImageModel, images: torch.Tensor
) -> None:
    """Rows n … 2n − 1 are the latents of the flipped images."""
    both = encode_latents(model, images, mirrored=True)
    flipped = encode_latents(model, images.flip(-1))
    torch.testing.assert_close(both.mean[10:], flipped.mean)


@given(st.integers(1, 90), st.integers(1, 90))
def test_any_size_becomes_a_square(height: int, width: int) -> None:
    """Sizes above and below the resolution, portrait and landscape; one colour stays itself."""
    image = torch.full((3, height, width), 77, dtype=torch.uint8)
    out = fit_to_resolution([image, image], 32)
    assert out.shape == (2, 3, 32, 32)
    assert out.unique().tolist() == [77]


def test_resizing_is_pillows() -> None:
    """Within two levels of a centre crop and Pillow's bicubic, whose weights are rounded."""
    image = torch.randint(0, 256, (3, 90, 140), generator=torch.Generator().manual_seed(0))
    image = image.to(torch.uint8)
    pil = Image.fromarray(image.permute(1, 2, 0).numpy()).crop((25, 0, 115, 90))
    expected = torch.tensor(list(pil.resize((32, 32), Image.Resampling.BICUBIC).tobytes()))
    ours = fit_to_resolution([image], 32)[0].permute(1, 2, 0).flatten()
    assert int((ours.int() - expected.int()).abs().max()) <= 2


def test_decoding_inverts_the_range(model: TextToImageModel) -> None:
    """uint8 images of the model's size, the same in any batch size up to rounding."""
    latents = torch.randn(5, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    whole, parts = decode_latents(model, latents), decode_latents(model, latents, batch_size=2)
    assert whole.shape == (5, 3, 32, 32)
    assert whole.dtype == torch.uint8
    assert int((whole.int() - parts.int()).abs().max()) <= 1


def test_nothing_to_encode_is_an_error(model: TextToImageModel) -> None:
    """An empty X_T."""
    with pytest.raises(TrainingError, match="X_T is empty"):
        encode_latents(model, [])


def test_many_latents_are_kept_and_found_again(
    model: TextToImageModel,
    images: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By content: the same images are not encoded twice, others are; damage is encoded over."""
    store = FolderLatentStore(tmp_path)
    first = encode_latents(model, images, store=store, keep_from=1)
    assert len(list(tmp_path.iterdir())) == 1
    encode = model.vae.encode
    monkeypatch.setattr(model.vae, "encode", lambda *_: pytest.fail("encoded again"))
    again = encode_latents(model, images, store=store, keep_from=1)
    assert torch.equal(first.mean, again.mean)
    assert torch.equal(first.std, again.std)
    monkeypatch.setattr(model.vae, "encode", encode)
    encode_latents(model, images.flip(0), store=store, keep_from=1)
    assert len(list(tmp_path.iterdir())) == 2
    one, other = sorted(tmp_path.iterdir())
    swapped = one.read_bytes(), other.read_bytes()
    for damage in (
        lambda: [flip_bit(path, seed=0) for path in (one, other)],
        lambda: [path.write_bytes(path.read_bytes()[:100]) for path in (one, other)],
        lambda: [other.write_bytes(swapped[0]), one.write_bytes(swapped[1])],
    ):
        damage()
        assert torch.equal(encode_latents(model, images, store=store, keep_from=1).std, first.std)


def test_few_latents_are_not_kept(
    model: TextToImageModel, images: torch.Tensor, tmp_path: Path
) -> None:
    """Encoding them anew is faster than fetching them; 0 keeps none at all."""
    for keep_from in (1 << 30, 0):
        encode_latents(model, images, store=FolderLatentStore(tmp_path), keep_from=keep_from)
    assert not list(tmp_path.iterdir())


def test_more_latents_than_memory_lie_on_disk(
    model: TextToImageModel, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a mapped file without a name; draws from it are the same."""
    in_memory = encode_latents(model, images)
    monkeypatch.setattr(latents, "_MEMORY_BYTES", 1000)
    on_disk = encode_latents(model, images)
    noise = torch.randn(2, *model.latent_shape)
    index = torch.tensor([1, 7])
    assert torch.equal(on_disk.sample(index, noise), in_memory.sample(index, noise))


def test_a_disk_without_room_for_latents_is_one_sentence(
    model: TextToImageModel,
    images: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Said before anything is encoded, rather than the process killed when the disk fills up.

    2.2 million images need more than 16 GiB, so nothing has to be told to use the disk.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(model.vae, "encode", lambda *_: pytest.fail("encoded"))
    many = images[:1].expand(2_200_000, -1, -1, -1)
    says = (
        rf"latents of 2200000 images, .* take 16.8 GiB on disk, and {tmp_path} cannot hold them "
        r"\(No space left on device\): set TMPDIR to a folder on a larger disk, or give fewer"
    )
    with small_disk(tmp_path, 1 << 20), pytest.raises(TrainingError, match=says):
        encode_latents(model, many)


def test_latents_larger_than_a_file_may_be_are_one_sentence(
    model: TextToImageModel,
    images: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the kernel refuses the size, which it does to others than root, too; none is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(latents, "_MEMORY_BYTES", 1000)
    says = rf"{tmp_path} cannot hold them \(File too large\): set TMPDIR"
    with largest_file(1000), pytest.raises(TrainingError, match=says):
        encode_latents(model, images)
    assert not list(tmp_path.iterdir())


def test_the_room_for_latents_on_disk_is_taken_at_once(
    model: TextToImageModel,
    images: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that is filled up afterwards does no harm to what is written into the mapping."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    in_memory = encode_latents(model, images)
    monkeypatch.setattr(latents, "_MEMORY_BYTES", 1000)
    encode = model.vae.encode

    def on_a_full_disk(pixels: torch.Tensor) -> object:
        with contextlib.suppress(OSError), (tmp_path / "ballast").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        return encode(pixels)

    monkeypatch.setattr(model.vae, "encode", on_a_full_disk)
    with small_disk(tmp_path, 1 << 20):
        on_disk = encode_latents(model, images, batch_size=4)
        assert shutil.disk_usage(tmp_path).free == 0
        assert torch.equal(on_disk.std, in_memory.std)


@pytest.mark.parametrize("most", [3, 0])
def test_encoding_takes_fewer_images_at_once_where_memory_is_small(
    most: int, model: TextToImageModel, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own error above ``most`` images: there is no GPU to fill here.

    The latents are the same; where not even one image fits, one sentence says so.
    """
    expected = encode_latents(model, images, mirrored=True, batch_size=2)
    encode = model.vae.encode

    def small(pixels: torch.Tensor) -> Any:
        if len(pixels) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return encode(pixels)

    monkeypatch.setattr(model.vae, "encode", small)
    if most == 0:
        with pytest.raises(TrainingError, match=r"out of memory encoding one image of 32 pixels"):
            encode_latents(model, images)
        return
    found = encode_latents(model, images, mirrored=True)
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.std, expected.std)
