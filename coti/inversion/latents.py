"""Images as the autoencoder's latents: encoded once, sampled from mean and std each step."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from coti.core.errors import TrainingError
from coti.core.fitting import kept_box
from coti.core.progress import progress_bar
from coti.core.whole_files import temporary_folder, tensor_hash
from coti.core.work import working
from coti.inversion.base_model import TextToImageModel
from coti.inversion.latent_store import LatentStore, keep, read_kept

__all__ = [
    "DECODING",
    "ENCODING",
    "LatentCache",
    "decode_latents",
    "encode_latents",
    "encoded_at_once",
    "fit_to_resolution",
    "to_model_range",
]

ENCODING, DECODING = "image to latents", "latents to image"
"""What :mod:`coti.core.work` is told of an image."""
_DEVICE_BYTES = 2 << 30
"""Latents larger than this stay in main memory; 16,000 images at 512² fit."""
_PIXELS = 1 << 19
"""Encoded or decoded at once: the first and the last block have 128 and 256 numbers a pixel, in
several tensors. Two images of 512² take 1.5 GiB in float32; more than that would be more than a
training step's."""
_MEMORY_BYTES = 16 << 30
"""Latents larger than this go to a memory-mapped file; 128,000 images at 512² fit."""


@dataclass(frozen=True)
class LatentCache:
    """Mean and standard deviation of every image's latents.

    Sampling ``mean + std·ε`` each step is what encoding each step would give: the encoder is
    frozen, so only ε is new.
    """

    mean: torch.Tensor
    """float32 [m, channels, h, w]; mirrored images, where wanted, follow the n upright ones.
    On the training device, or in main memory where there are too many for it."""
    std: torch.Tensor
    model: TextToImageModel
    """Whose latents they are."""

    def sample(self, index: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Latents [b, channels, h, w] of the images at ``index`` [b], float32, scaled.

        They come on the device of ``noise``; ``index`` is on the CPU.
        """
        rows = index.to(self.mean.device, non_blocking=True)
        mean, std = (_without_waiting(part[rows], noise.device) for part in (self.mean, self.std))
        return self.model.to_latents(mean + std * noise)


def _without_waiting(rows: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type != "cuda" or rows.device == device:
        return rows.to(device)
    return rows.pin_memory().to(device, non_blocking=True)


def fit_to_resolution(
    images: torch.Tensor | Sequence[torch.Tensor], resolution: int
) -> torch.Tensor:
    """Centre-cropped squares of ``resolution`` pixels, bicubic with antialiasing.

    Only of images that come as tensors, from Python: whoever wants another part of them than the
    middle brings them to the resolution before, by :func:`coti.core.images.from_pil` say.

    uint8 [n, 3, h, w], or n images [3, h, w] of any sizes, to [n, 3, resolution, resolution];
    images of that size are returned as they are.

    >>> fit_to_resolution([torch.zeros(3, 48, 32, dtype=torch.uint8)], 16).shape
    torch.Size([1, 3, 16, 16])
    """
    if isinstance(images, torch.Tensor) and images.shape[-2:] == (resolution, resolution):
        return images
    squares = []
    for image in images:
        height, width = image.shape[-2:]
        left, top, right, bottom = kept_box((width, height), (resolution, resolution))
        square = image[None, :, top:bottom, left:right]
        if square.shape[-1] != resolution:
            resized = F.interpolate(
                square.float(), (resolution, resolution), mode="bicubic", antialias=True
            )
            square = resized.round().clamp(0, 255).to(torch.uint8)
        squares.append(square)
    return torch.cat(squares)


@torch.no_grad()
def encode_latents(
    model: TextToImageModel,
    images: torch.Tensor | Sequence[torch.Tensor],  # uint8 [n, 3, h, w], or [3, h, w] of any sizes
    mirrored: bool = False,  # encode mirror images too; they follow at n, n + 1, …
    batch_size: int | None = None,  # None: as encoded_at_once
    store: LatentStore | None = None,
    keep_from: int = 256 << 20,  # least bytes of latents that the store keeps; 0 keeps none
) -> LatentCache:
    """Encode images once; the latents lie on the device, in main memory or on disk by size.

    ``batch_size`` is halved where the device's memory does not suffice.

    Raises:
        TrainingError: there is no image, the disk has no room for their latents, or the
            autoencoder gives values that are not finite.
    """
    if len(images) == 0:
        raise TrainingError("There is no image to train on: X_T is empty.")
    batch_size = batch_size or encoded_at_once(model.resolution)
    rows = len(images) * (2 if mirrored else 1)
    shape = (rows, *model.latent_shape)
    size = 8 * math.prod(shape)
    kept = store if store is not None and 0 < keep_from <= size <= _MEMORY_BYTES else None
    where = model.device if size <= _DEVICE_BYTES else torch.device("cpu")
    key = ""
    if kept is not None:
        key = f"{model.fingerprint[:12]}-{tensor_hash(*images)}-{model.vae.dtype}-{mirrored:d}"
        found = read_kept(kept, key, shape)
        if found is not None:
            return LatentCache(found["mean"].to(where), found["std"].to(where), model)
    mean, std = (_empty(shape, size, where) for _ in range(2))
    with progress_bar(total=rows, what="encoding images") as bar:
        done = 0
        while done < rows:
            first = done % len(images)
            batch = fit_to_resolution(images[first : first + batch_size], model.resolution)
            pixels = to_model_range(batch.flip(-1) if done >= len(images) else batch, model)
            try:
                with working(ENCODING, len(batch)):
                    posterior = model.vae.encode(pixels).latent_dist
            except torch.OutOfMemoryError as error:
                if batch_size == 1:
                    raise TrainingError(
                        f"The device ran out of memory encoding one image of {model.resolution} "
                        f"pixels with {model.name}: set dtype: bfloat16, take smaller scorers, "
                        "which lie there, too, or a larger device."
                    ) from error
                batch_size //= 2
                continue
            place = slice(done, done + len(batch))
            mean[place], std[place] = posterior.mean, posterior.std
            done += len(batch)
            bar.update(len(batch))
    bad = ~(mean.isfinite() & std.isfinite()).flatten(1).all(dim=1)
    if bool(bad.any()):
        raise TrainingError(
            f"The autoencoder of {model.name} gives values that are not finite for image "
            f"{int(bad.nonzero()[0]) % len(images)} in {model.vae.dtype}; set dtype: float32."
        )
    if kept is not None:
        keep(kept, key, {"mean": mean, "std": std})
    return LatentCache(mean, std, model)


def encoded_at_once(resolution: int) -> int:
    """Images of a side of ``resolution`` pixels that are encoded together.

    >>> encoded_at_once(32), encoded_at_once(512), encoded_at_once(1024)
    (32, 2, 1)
    """
    return max(1, min(32, _PIXELS // resolution**2))


def _empty(shape: tuple[int, ...], size: int, where: torch.device) -> torch.Tensor:
    """Room for latents; in an unnamed file where they are too many for the memory."""
    if size <= _MEMORY_BYTES:
        return torch.empty(shape, dtype=torch.float32, device=where)
    count = math.prod(shape)
    try:
        # Mapped, it outlives its name.
        with temporary_folder("coti-latents-") as folder, (folder / "latents").open("wb") as file:
            _allocate(file.fileno(), 4 * count)
            return torch.from_file(str(folder / "latents"), shared=True, size=count).view(shape)
    except OSError as error:
        raise TrainingError(
            f"The latents of {shape[0]} images, mirrored ones counted, take {size / 2**30:.1f} "
            f"GiB on disk, and {tempfile.gettempdir()} cannot hold them ({error.strerror}): set "
            "TMPDIR to a folder on a larger disk, or give fewer images."
        ) from error


def _allocate(file: int, size: int) -> None:
    """Take the room at once: a sparse file on a disk that fills up later kills the process.

    Raises:
        OSError: there isn't as much.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:  # macOS
        os.truncate(file, size)


def to_model_range(images: torch.Tensor, model: TextToImageModel) -> torch.Tensor:
    """uint8 [n, 3, h, w] to the [−1, 1] that the autoencoder takes, on its device."""
    pixels = images.to(model.device).to(torch.float32).div_(127.5).sub_(1.0)
    return pixels.to(dtype=model.vae.dtype, memory_format=torch.channels_last)


@torch.no_grad()
def decode_latents(
    model: TextToImageModel, latents: torch.Tensor, batch_size: int | None = None
) -> torch.Tensor:
    """Scaled latents [n, channels, h, w] to images, uint8 [n, 3, 8h, 8w] on the CPU.

    ``batch_size`` images at once, 32 where it is None; fewer of large ones, two of 512², one of
    1024²: a float32 decoder takes a GiB for each of 512², more than the UNet does for it.
    """
    pixels = latents.shape[-2] * latents.shape[-1] * model.downscale**2
    batch_size = max(1, min(batch_size or 32, _PIXELS // pixels))
    images = []
    for first in range(0, len(latents), batch_size):
        batch = model.from_latents(latents[first : first + batch_size]).to(
            dtype=model.vae.dtype, memory_format=torch.channels_last
        )
        with working(DECODING, len(batch)):
            pixels = model.vae.decode(batch, return_dict=False)[0].float()
        pixels = (pixels / 2 + 0.5).clamp(0, 1).mul(255).round()
        images.append(pixels.to(torch.uint8).cpu())
    return torch.cat(images).contiguous()
