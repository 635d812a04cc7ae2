"""Image and text features: one protocol for every extractor, so scores don't know which it was.

Features come out float32 on the CPU and not normalised; :func:`normalized` puts them on the unit
sphere, where an inner product is a cosine.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn import functional
from tqdm import tqdm

from coti.core.errors import ModelError
from coti.core.out_of_memory import out_of_memory_at
from coti.core.weights import check_hash, local_weights

__all__ = [
    "AutoencoderEncoder",
    "ImageEncoder",
    "ImageTextEncoder",
    "OpenClipEncoder",
    "load_image_text_encoder",
    "normalized",
]


class ImageEncoder(Protocol):
    """Anything that turns images into feature vectors."""

    @property
    def name(self) -> str:
        """What it is called in records and messages."""
        ...

    @property
    def size(self) -> int:
        """Width of a feature vector."""
        ...

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w], any size, to float32 [n, size] on the CPU, not normalised."""
        ...


class ImageTextEncoder(ImageEncoder, Protocol):
    """An extractor that puts images and texts into one space."""

    @property
    def input_size(self) -> int:
        """Side of the images the model itself sees, in pixels."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts to float32 [n, size] on the CPU, not normalised."""
        ...


def normalized(features: torch.Tensor) -> torch.Tensor:
    """Rows of [n, d] scaled to length 1; a row of zeros stays one."""
    return functional.normalize(features, dim=-1)


class OpenClipEncoder:
    """An image-text model of open_clip; :func:`load_image_text_encoder` makes one.

    Images are resized on tensors as the model's own preprocessing would: bicubic with
    antialiasing, rounded to whole grey levels, then its mean and standard deviation.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        tokenizer: Any,
        *,
        device: str | torch.device = "cpu",
        batch_size: int = 256,
    ) -> None:
        preprocess: dict[str, Any] = model.visual.preprocess_cfg  # type: ignore[assignment,union-attr]
        side = preprocess["size"]
        self.name = name
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.input_size = int(side if isinstance(side, int) else side[0])
        self._resize_mode = str(preprocess.get("resize_mode", "shortest"))
        self._fill = float(preprocess.get("fill_color", 0))
        self._mean = torch.tensor(preprocess["mean"], device=self.device)[:, None, None]
        self._std = torch.tensor(preprocess["std"], device=self.device)[:, None, None]
        model = model.eval().requires_grad_(False)
        remedy = "take a smaller model, or a larger device"
        with out_of_memory_at(ModelError, f"loading {name}", remedy, model):
            self._model: Any = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._tokenizer = tokenizer
        self.size = int(self.encode_texts(["a"]).shape[1])

    @property
    def fingerprint(self) -> str:
        """sha256 of the weights, 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for key, value in sorted(self._model.state_dict().items()):
            digest.update(f"{key} {value.dtype} {list(value.shape)};".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    @torch.inference_mode()
    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w], any size, to float32 [n, size] on the CPU, not normalised."""
        with _looking(self.name, self.batch_size):
            parts = [
                self._model.encode_image(self._preprocess(batch)).float().cpu()
                for batch in _batches(images, self.batch_size, f"{self.name}: image features")
            ]
        return torch.cat(parts) if parts else torch.empty(0, self.size)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts to float32 [n, size] on the CPU, not normalised; over-long ones are cut."""
        parts = []
        with _looking(self.name, self.batch_size, "texts"):
            for first in range(0, len(texts), self.batch_size):
                tokens = self._tokenizer(list(texts[first : first + self.batch_size]))
                parts.append(self._model.encode_text(tokens.to(self.device)).float().cpu())
        return torch.cat(parts) if parts else torch.empty(0, self.size)

    def _preprocess(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.to(self.device, torch.float32)
        pixels = _fit(pixels, self.input_size, self._resize_mode, self._fill)
        pixels = (pixels / 255 - self._mean) / self._std
        return pixels.contiguous(memory_format=torch.channels_last)


class AutoencoderEncoder:
    """ℰ of Eq. 8 read literally: the flattened latent means of a diffusers autoencoder."""

    def __init__(
        self,
        vae: Any,
        resolution: int,
        *,
        name: str = "autoencoder",
        batch_size: int = 64,
    ) -> None:
        """Wrap a diffusers ``AutoencoderKL`` that is fed square images of ``resolution``."""
        self.name = name
        self.batch_size = batch_size
        self.resolution = resolution
        self._vae = vae
        self.size = int(self.encode_images(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)).shape[1])

    @torch.inference_mode()
    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w], any size, to float32 [n, channels·h·w of a latent] on the CPU."""
        parts = []
        with _looking(self.name, self.batch_size):
            for batch in _batches(images, self.batch_size, f"{self.name}: image features"):
                pixels = batch.to(self._vae.device, torch.float32)
                pixels = _fit(pixels, self.resolution, "shortest", 0.0) / 127.5 - 1
                latents = self._vae.encode(pixels.to(self._vae.dtype)).latent_dist.mean
                parts.append(latents.flatten(1).float().cpu())
        return torch.cat(parts) if parts else torch.empty(0, self.size)


def load_image_text_encoder(
    model: str,
    pretrained: str | None = None,
    *,
    device: str = "cpu",
    batch_size: int = 256,
    sha256: str | None = None,
) -> OpenClipEncoder:
    """Load an image-text model through open_clip, in float32.

    Args:
        model: a folder with ``open_clip_config.json`` and safetensors weights,
            ``hf-hub:owner/name``, or the name of a model that open_clip knows, with ``pretrained``.
        pretrained: for a model known by name, the weights' tag, or a file: a path,
            ``hf://owner/name@revision/file`` or ``s3://bucket/key``.
        device: a torch device, or ``auto`` for CUDA where there is one.
        batch_size: images or texts at once.
        sha256: pinned hash of the folder or the weights' file; ``s3://`` needs it.

    Raises:
        ModelError: nothing can be loaded from that; says what to do.
    """
    if model.startswith("s3://"):
        model = str(local_weights(model, sha256))
    where = _resolve(model, pretrained)
    pretrained = _pinned(model, where, pretrained, sha256)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    import_error = "open_clip is not installed: `pip install open_clip_torch`."
    with _quiet():
        try:
            import open_clip
        except ImportError as error:
            raise ModelError(import_error) from error
        try:
            loaded = open_clip.create_model(
                where, pretrained=pretrained, weights_only=True, **_as_trained(where, pretrained)
            )
        except ModelError:
            raise
        except Exception as error:  # open_clip lets every kind of exception through
            raise ModelError(
                f"open_clip cannot load {model!r}"
                + (f" with pretrained {pretrained!r}" if pretrained else "")
                + f": {_first_line(error)}. Give a folder in open_clip's format, hf-hub:owner/name "
                "(that needs the network once), or one of open_clip's model names and tags."
            ) from error
        try:
            tokenizer = open_clip.get_tokenizer(where)
        except Exception as error:  # transformers lets every kind of exception through
            text = (open_clip.get_model_config(where) or {}).get("text_cfg", {})
            source = text.get("hf_tokenizer_name") or model
            raise ModelError(
                f"{model!r} also needs its tokenizer, {source}, which is not beside its weights: "
                f"{_first_line(error)}. Fetch it once with the network, or give as model a local "
                "copy of the hub's whole folder, with open_clip_config.json and tokenizer files."
            ) from error
    name = Path(model).name if where.startswith("local-dir:") else model
    return OpenClipEncoder(name, loaded, tokenizer, device=device, batch_size=batch_size)


def _resolve(model: str, pretrained: str | None) -> str:
    """open_clip's own notation for ``model``; refuses what it would misread or load at random."""
    if model.startswith("hf-hub:"):
        return model
    folder = Path(model.removeprefix("local-dir:"))
    if folder.is_dir():
        if not (folder / "open_clip_config.json").is_file():
            raise ModelError(
                f"{folder} has no open_clip_config.json: give a folder in open_clip's format."
            )
        if not any(folder.glob("*.safetensors")):
            raise ModelError(
                f"{folder} has no .safetensors weights: convert them (pickled weights are not "
                "loaded), or build the model again."
            )
        return f"local-dir:{folder.resolve()}"
    with _quiet():
        import open_clip

        known = open_clip.list_models()
    if model not in known:
        raise ModelError(
            f"{model!r} is neither a folder nor a model that open_clip knows: check the path (it "
            "is relative to where you run), build the bundled models, or use hf-hub:owner/name."
        )
    if pretrained is None:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)[:6])
        raise ModelError(f"{model!r} needs pretrained, the tag of its weights, such as {tags}.")
    return model


def _as_trained(where: str, pretrained: str | None) -> dict[str, Any]:
    """What open_clip must be told, so that the weights get the network they were trained in.

    It only warns where a tag's activation is not the named model's, and takes a file's images to
    be prepared as OpenAI's. A tag's own activation is used; a file gets the preparation that all of
    the model's tags agree on, and the activation of the model's name (``-quickgelu`` or not).

    Raises:
        ModelError: the name asks for QuickGELU, the tag's weights were trained without.
    """
    from open_clip import get_model_config, list_pretrained_tags_by_model
    from open_clip.pretrained import get_pretrained_cfg

    if pretrained is None or where.startswith(("local-dir:", "hf-hub:")):
        return {}
    tag = get_pretrained_cfg(where, pretrained)
    if not tag:
        known = [get_pretrained_cfg(where, each) for each in list_pretrained_tags_by_model(where)]
        keys = ("mean", "std", "interpolation", "resize_mode")
        ways = {tuple(each.get(key) for key in keys): each for each in known}
        if len(ways) != 1:
            return {}
        (way,) = ways.values()
        return {"force_preprocess_cfg": {key: way[key] for key in keys if way.get(key)}}
    quick = bool(tag.get("quick_gelu"))
    if bool((get_model_config(where) or {}).get("quick_gelu")) and not quick:
        raise ModelError(
            f"{where!r} has QuickGELU, and the weights {pretrained!r} were trained without: name "
            "the model without -quickgelu."
        )
    return {"force_quick_gelu": quick}


def _pinned(model: str, where: str, pretrained: str | None, sha256: str | None) -> str | None:
    """``pretrained`` as a file on this machine where it names one or has a pinned hash."""
    if where.startswith("local-dir:"):
        if sha256:
            check_hash(Path(where.removeprefix("local-dir:")), sha256, model)
        return pretrained
    if pretrained is not None and (
        pretrained.startswith(("s3://", "hf://")) or Path(pretrained).expanduser().is_file()
    ):
        return str(local_weights(pretrained, sha256))
    if not sha256:
        return pretrained
    if where.startswith("hf-hub:"):
        raise ModelError(
            f"{model} cannot be pinned by one hash, it is several files: give model and "
            "pretrained: hf://owner/name@revision/file, or a local copy of the folder."
        )
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    with _quiet():
        try:
            file = download_pretrained(get_pretrained_cfg(model, pretrained))
        except Exception as error:  # open_clip lets every kind of exception through
            raise ModelError(
                f"open_clip cannot fetch {model!r} with pretrained {pretrained!r}: "
                f"{_first_line(error)}. Give a local file or s3:// instead."
            ) from error
    check_hash(Path(file), sha256, f"{model} ({pretrained})")
    # The tag, not the file: it says how images are prepared, too, and finds the same file.
    return pretrained


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip's loading to itself: it logs to the root logger and warns."""
    root = logging.getLogger()
    # Without any handler, its first logging.info() would install one on stderr for good.
    silent = logging.NullHandler()
    root.addHandler(silent)
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.removeHandler(silent)


def _batches(images: torch.Tensor, batch_size: int, what: str) -> Iterator[torch.Tensor]:
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
        raise ModelError(
            f"images must be uint8 [n, 3, h, w], got {images.dtype} {list(images.shape)}."
        )
    starts = range(0, len(images), batch_size)
    # One batch needs no bar; otherwise tqdm shows it on a terminal only.
    for first in tqdm(starts, what, leave=False, disable=None if len(starts) > 1 else True):
        yield images[first : first + batch_size]


def _looking(name: str, batch_size: int, what: str = "images") -> AbstractContextManager[None]:
    """Out of memory inside: say which setting to turn; activations are in proportion to it."""
    return out_of_memory_at(
        ModelError,
        f"looking at {batch_size} {what} at once with {name}",
        "lower its batch_size, in scorer, concept_score or evaluation (try "
        f"{max(1, batch_size // 2)}, which takes half as much beside the weights)",
    )


def _fit(pixels: torch.Tensor, side: int, mode: str, fill: float) -> torch.Tensor:
    """Resize float [n, 3, h, w], 0 to 255, to a square: open_clip's shortest, longest, squash."""
    height, width = pixels.shape[-2:]
    if (height, width) == (side, side):
        return pixels
    if mode == "squash":
        return _resize(pixels, side, side)
    scale = side / (max(height, width) if mode == "longest" else min(height, width))
    # Truncated as torchvision does for the longer side.
    new_height = side if height * scale == side else max(1, int(height * scale))
    new_width = side if width * scale == side else max(1, int(width * scale))
    pixels = _resize(pixels, new_height, new_width)
    if mode == "longest":
        top, left = (side - new_height) // 2, (side - new_width) // 2
        padding = (left, side - new_width - left, top, side - new_height - top)
        return functional.pad(pixels, padding, value=fill)
    top, left = round((new_height - side) / 2), round((new_width - side) / 2)
    return pixels[..., top : top + side, left : left + side]


def _resize(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    resized = functional.interpolate(pixels, (height, width), mode="bicubic", antialias=True)
    return resized.clamp(0, 255).round()
