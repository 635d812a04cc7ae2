"""The frozen text-to-image model: a Stable Diffusion or SDXL shaped diffusers folder or hub id."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from coti.errors import ModelError
from coti.settings import ModelSettings

__all__ = ["TextToImageModel", "load_text_to_image", "quiet_libraries", "training_attention"]

_REMEDY = (
    "Give a diffusers folder (one with model_index.json, as save_pretrained writes it) or the id "
    "of a hub repository."
)
_FEW_POSITIONS = 1024
"""Latents up to which attention's table of all pairs is small; 32x32 of them."""
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")


@dataclass(frozen=True)
class TextToImageModel:
    """Everything that draws, frozen. SD shaped models have one text encoder, SDXL's have two."""

    name: str
    """What the user called it."""
    vae: Any
    unet: Any
    tokenizers: tuple[Any, ...]
    text_encoders: tuple[Any, ...]
    scheduler_config: dict[str, Any]
    """Of the noise schedule it was trained with."""
    resolution: int
    """Pixels of a side."""
    device: torch.device
    dtype: torch.dtype
    """Of the UNet and the text encoders; the autoencoder's may differ (``vae.dtype``)."""
    fingerprint: str
    """Changes with any weight or setting of the model."""
    force_zeros_for_empty_prompt: bool = False
    """SDXL: the empty negative prompt is all zeros."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one picture's latents."""
        side = self.resolution // self.downscale
        return (self.vae.config.latent_channels, side, side)

    @property
    def downscale(self) -> int:
        """Pixels of a side for one latent of a side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers in a word's vector, one count a text encoder."""
        return tuple(
            encoder.get_input_embeddings().weight.shape[1] for encoder in self.text_encoders
        )

    @property
    def unet_format(self) -> torch.memory_format:
        """Memory format of the UNet and its input: whichever its device computes faster in."""
        return _unet_format(self.device, self.dtype)

    @property
    def prediction_type(self) -> str:
        """``epsilon`` or ``v_prediction``."""
        return str(self.scheduler_config.get("prediction_type", "epsilon"))


def load_text_to_image(settings: ModelSettings) -> TextToImageModel:
    """Load the base model, frozen and ready on its device.

    Raises:
        ModelError: the folder isn't a diffusers model, a part is missing or broken, or the hub
            can't be reached, doesn't have it, or wants a licence accepted first.
    """
    device = _device(settings.device)
    dtype = _dtype(settings.dtype, device)
    folder = _folder(settings)
    with quiet_libraries():
        return _load_folder(folder, settings.base_model, device, dtype)


def _load_folder(
    folder: Path, name: str, device: torch.device, dtype: torch.dtype
) -> TextToImageModel:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    from coti.fingerprint import fingerprint_files

    index = _read_json(folder / "model_index.json", name)
    vae = _component(AutoencoderKL, folder, "vae", name)
    unet = _component(UNet2DConditionModel, folder, "unet", name)
    tokenizers = [_component(CLIPTokenizer, folder, "tokenizer", name)]
    text_encoders = [_component(CLIPTextModel, folder, "text_encoder", name)]
    if "text_encoder_2" in index:
        tokenizers.append(_component(CLIPTokenizer, folder, "tokenizer_2", name))
        text_encoders.append(
            _component(CLIPTextModelWithProjection, folder, "text_encoder_2", name)
        )
    scheduler_config = _read_json(folder / "scheduler" / "scheduler_config.json", name)
    prediction = scheduler_config.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction"):
        raise ModelError(
            f"{name} predicts {prediction!r}: textual inversion is defined here for epsilon and "
            "v_prediction models."
        )
    # fp16 overflows in some autoencoders, which say so themselves (SDXL's); on a CPU half
    # precision gains the autoencoder little and costs levels of grey.
    vae_dtype = dtype
    overflows = dtype == torch.float16 and getattr(vae.config, "force_upcast", True)
    if overflows or device.type == "cpu":
        vae_dtype = torch.float32
    for module, kind in ((vae, vae_dtype), (unet, dtype), *((e, dtype) for e in text_encoders)):
        module.requires_grad_(False).eval().to(device=device, dtype=kind)
    vae.to(memory_format=torch.channels_last)
    unet.to(memory_format=_unet_format(device, dtype))
    parts = ["vae", "unet", "tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2"]
    files = sorted(
        path
        for part in (*parts, "scheduler")
        for path in (folder / part).glob("*")
        if path.suffix in (".json", ".txt", ".safetensors")
    )
    downscale = 2 ** (len(vae.config.block_out_channels) - 1)
    return TextToImageModel(
        name=name,
        vae=vae,
        unet=unet,
        tokenizers=tuple(tokenizers),
        text_encoders=tuple(text_encoders),
        scheduler_config=scheduler_config,
        resolution=int(unet.config.sample_size) * downscale,
        device=device,
        dtype=dtype,
        fingerprint=fingerprint_files(files),
        force_zeros_for_empty_prompt=bool(index.get("force_zeros_for_empty_prompt", False)),
    )


def _component(kind: Any, folder: Path, part: str, name: str) -> Any:
    """One part of the model from its subfolder, safetensors only."""
    where = folder / part
    if not where.is_dir():
        raise ModelError(f"{name} has no part {part!r} ({where} is missing). {_REMEDY}")
    options: dict[str, Any] = {"local_files_only": True}
    if not kind.__name__.endswith("Tokenizer"):
        weights = list(where.glob("*.safetensors"))
        if not weights:
            raise ModelError(
                f"{name} has no safetensors weights in {where}; weights in other formats can run "
                "code when they are loaded, convert them with save_pretrained first."
            )
        options["use_safetensors"] = True
        if all(".fp16." in path.name for path in weights):
            options["variant"] = "fp16"
    try:
        return kind.from_pretrained(str(where), **options)
    except Exception as error:  # libraries raise anything from KeyError to SafetensorError here
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
        raise ModelError(
            f"The part {part!r} of {name} cannot be loaded from {where}: {reason}. The files are "
            "damaged or of another kind; fetch them again."
        ) from error


def _folder(settings: ModelSettings) -> Path:
    """Where the model's files lie on this machine, fetched from the hub if need be."""
    name = settings.base_model
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise ModelError(f"{name} is a folder without a model_index.json. {_REMEDY}")
        return path
    if path.is_file():
        raise ModelError(
            f"{name} is a file, not a diffusers folder. {_REMEDY} A single-file checkpoint becomes "
            "one by StableDiffusionPipeline.from_single_file(file).save_pretrained(folder)."
        )
    if not _HUB_ID.match(name):
        raise ModelError(f"{name} does not exist. {_REMEDY}")
    return _download(name, settings.revision)


def _download(repository: str, revision: str | None) -> Path:
    """A snapshot of a hub repository; what is cached already is not fetched again."""
    import huggingface_hub
    from huggingface_hub import errors

    where = f"{repository} (revision {revision})" if revision else repository
    alternatives = (
        "base_model may name a mirror's id or a local diffusers folder instead; the original "
        "Stable Diffusion 2 repositories have moved on the hub."
    )
    try:
        with quiet_libraries():
            folder = huggingface_hub.snapshot_download(
                repository,
                revision=revision,
                allow_patterns=["model_index.json", "*/*.json", "*/*.txt", "*/*.safetensors"],
                ignore_patterns=["safety_checker/*", "*.fp16.safetensors", "*non_ema*"],
            )
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{where} is gated: accept its licence on the hub with your account and log in with "
            f"`hf auth login`. {alternatives}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{repository} has no revision {revision}. {alternatives}") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{where} is neither a folder here nor on the hub (or is private). {alternatives}"
        ) from error
    except (OSError, ValueError, errors.HfHubHTTPError) as error:
        raise ModelError(
            f"{where} is neither a folder here nor cached, and the hub cannot be reached. "
            f"{alternatives}"
        ) from error
    if not (Path(folder) / "model_index.json").is_file():
        raise ModelError(f"{where} on the hub has no model_index.json. {_REMEDY}")
    return Path(folder)


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{name} has no {path.parent.name}/{path.name}. {_REMEDY}") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}. Fetch the model again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no settings. Fetch the model again.")
    return content


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(
            f"device {name!r} is none that torch knows: auto, cpu, cuda, cuda:0 or mps."
        ) from error
    missing = (device.type == "cuda" and not torch.cuda.is_available()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise ModelError(f"device {name!r} is not on this machine; use device: auto or cpu.")
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name != "auto":
        kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        return kinds[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # Without the CPU's own bfloat16 instructions it would be emulated, and slow.
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if device.type == "cpu" and native() else torch.float32


def _unet_format(device: torch.device, dtype: torch.dtype) -> torch.memory_format:
    # A CPU's group norm in half precision is slow with channels last: a fifth of the forward pass.
    half_on_cpu = device.type == "cpu" and dtype != torch.float32
    return torch.contiguous_format if half_on_cpu else torch.channels_last


@contextmanager
def training_attention(model: TextToImageModel) -> Iterator[None]:
    """Attention whose gradient is fast, for forward and backward passes inside.

    On a CPU the gradient of torch's flash attention is slow in half precision: it was 40 % of a
    step of the bundled model. Plain matrix products are faster as long as positions are few.
    """
    height, width = model.latent_shape[1:]
    slow = model.device.type == "cpu" and model.dtype != torch.float32
    if not slow or height * width > _FEW_POSITIONS:
        yield
        return
    with sdpa_kernel(SDPBackend.MATH):
        yield


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No warnings and progress bars of diffusers, transformers and the hub client inside."""
    # Untyped modules, looked up as such.
    diffusers_logging: Any = import_module("diffusers.utils.logging")
    transformers_logging: Any = import_module("transformers.utils.logging")
    hub: Any = import_module("huggingface_hub.utils")

    levels = (diffusers_logging.get_verbosity(), transformers_logging.get_verbosity())
    hub_was_off = hub.are_progress_bars_disabled()
    bars_were_on = transformers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    hub.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_logging.set_verbosity(levels[0])
        transformers_logging.set_verbosity(levels[1])
        diffusers_logging.enable_progress_bar()
        if bars_were_on:
            transformers_logging.enable_progress_bar()
        if not hub_was_off:
            hub.enable_progress_bars()
