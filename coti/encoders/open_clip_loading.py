"""Networks and tokenizers of open_clip, pinned and as their weights were trained."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from coti.core.errors import ModelError
from coti.core.file_rules import user_path
from coti.core.text_files import read_json
from coti.core.weights import check_hash, local_weights

__all__ = ["load_open_clip"]


def load_open_clip(
    model: str, pretrained: str | None = None, sha256: str | None = None
) -> tuple[str, torch.nn.Module, Any]:
    """A network with its name and tokenizer; see ``OpenClipEncoder.load`` for what may be given.

    Raises:
        ModelError: nothing can be loaded from that; says what to do.
    """
    if model.startswith("s3://"):
        model = str(local_weights(model, sha256))
    where = _resolve(model, pretrained)
    pretrained = _pinned(model, where, pretrained, sha256)
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
    return name, loaded, tokenizer


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
        _refuse_places(folder / "open_clip_config.json")
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


def _refuse_places(config: Path) -> None:
    """A folder is all there is: its configuration may not have a tower fetched from elsewhere."""
    try:
        said = read_json(config.read_text(encoding="utf-8"))["model_cfg"]
        towers = {name: said.get(name) or {} for name in ("text_cfg", "vision_cfg")}
        places = [
            (key, str(towers[part].get(key) or ""))
            for part, key in (("text_cfg", "hf_model_name"), ("vision_cfg", "timm_model_name"))
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # open_clip says what is wrong with it
    for key, place in places:
        if place and (key == "hf_model_name" or set(place) & set(":/\\")):
            raise ModelError(
                f"{config} names {place!r} as {key}, a place on a hub: nothing is fetched from "
                "where a file says. Give a folder whose towers are open_clip's own, or name the "
                "model yourself: hf-hub:owner/name, or open_clip's name with pretrained."
            )


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
        pretrained.startswith(("s3://", "hf://")) or user_path(pretrained).is_file()
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
