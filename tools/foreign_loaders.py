"""Whether what we export loads in ComfyUI, AUTOMATIC1111's web UI and InvokeAI, bit for bit.

Each tool's own loader, from a checkout of it, reads our files in a process of its own; what it has
of them afterwards is compared with what was saved::

    python -m tools.foreign_loaders --comfyui DIR --webui DIR --invokeai DIR

Of what a checkout imports, that which is not installed is stood in for by empty modules, and so is
the part of AUTOMATIC1111's that starts its server; the table names them. Nothing of a tool is
copied, built or changed. docs/using.md has the last result.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import click
import torch

from coti.inversion.adapters.embedding import Embedding

__all__ = ["EXPORTS", "LOADERS", "Finding", "compare", "main"]

_KEYS = {"sd1": (), "sd2": (), "sdxl": ("clip_l", "clip_g")}
_WIDTHS = {"sd1": (768,), "sd2": (1024,), "sdxl": (768, 1280)}
EXPORTS = (("sd1", 1), ("sd1", 8), ("sd2", 4), ("sdxl", 1), ("sdxl", 4))
"""Base model and number of vectors of each embedding that is tried."""

_OWN = ("comfy", "modules", "invokeai")
_SERVER = (
    *("cache", "devices", "errors", "hashes", "images", "processing", "sd_hijack"),
    *("sd_hijack_checkpoint", "sd_models", "sd_samplers", "shared"),
)
"""Modules of AUTOMATIC1111's that start its server or load a model when they are imported."""

T = TypeVar("T")
Finding = dict[str, str]
"""By part of an embedding, dtype, shape and the hash of the bytes."""


def _finding(parts: Mapping[str, torch.Tensor]) -> Finding:
    def one(tensor: torch.Tensor) -> str:
        whole = tensor.detach().cpu().contiguous()
        digest = hashlib.sha256(whole.numpy().tobytes()).hexdigest()
        return f"{whole.dtype} {list(whole.shape)} {digest}"

    return {name: one(tensor) for name, tensor in parts.items()}


def _exported(folder: Path) -> dict[str, Finding]:
    """Write the files, by the token's key and by ``emb_params``; what is in each by its name."""
    wanted = {}
    for kind, vectors in EXPORTS:
        generator = torch.Generator().manual_seed(vectors)
        parts = tuple(torch.randn(vectors, w, generator=generator) for w in _WIDTHS[kind])
        embedding = Embedding("<tried>", parts, keys=_KEYS[kind])
        names = _KEYS[kind] or ("vectors",)
        for key in ("token",) if kind == "sdxl" else ("token", "emb_params"):
            name = f"{kind}-{vectors}-{key}.safetensors"
            embedding.save(folder / name, None if key == "token" else key)
            wanted[name] = _finding(dict(zip(names, parts, strict=True)))
    return wanted


def _comfyui(folder: Path, name: str) -> Mapping[str, torch.Tensor]:
    """``load_embed``, as its tokenizers call it."""
    import_module("comfy.options").enable_args_parsing()  # --cpu
    load = import_module("comfy.sd1_clip").load_embed
    kind = name.partition("-")[0]
    keys = {"sd1": ("clip_l",), "sd2": ("clip_h",), "sdxl": ("clip_l", "clip_g")}[kind]
    found = {
        key: load(name.removesuffix(".safetensors"), str(folder), width, key)
        for key, width in zip(keys, _WIDTHS[kind], strict=True)
    }
    return found if kind == "sdxl" else {"vectors": found[keys[0]]}


def _webui(folder: Path, name: str) -> Mapping[str, torch.Tensor]:
    """``EmbeddingDatabase``, for a model of the embedding's width."""
    kind = name.partition("-")[0]
    encoder = SimpleNamespace(
        tokenize=lambda texts: [[1] for _ in texts],
        encode_embedding_init_text=lambda text, count: torch.zeros(count, sum(_WIDTHS[kind])),
    )
    package = import_module("modules")
    for sibling in () if "modules.shared" in sys.modules else _SERVER:
        stand_in = _Empty(f"modules.{sibling}")
        sys.modules[stand_in.__name__] = stand_in
        setattr(package, sibling, stand_in)
    sys.modules["modules.devices"].device = torch.device("cpu")  # type: ignore[attr-defined]
    sys.modules["modules.hashes"].sha256 = lambda *_: ""  # type: ignore[attr-defined]
    shared: Any = sys.modules["modules.shared"]
    shared.sd_model = SimpleNamespace(cond_stage_model=encoder)
    shared.opts = SimpleNamespace(textual_inversion_print_at_load=False)
    database = import_module("modules.textual_inversion.textual_inversion").EmbeddingDatabase()
    database.expected_shape = database.get_expected_shape()
    database.load_from_file(str(folder / name), name)
    found = database.word_embeddings[name.removesuffix(".safetensors")].vec
    return found if isinstance(found, dict) else {"vectors": found}


def _invokeai(folder: Path, name: str) -> Mapping[str, torch.Tensor]:
    """Its import's recognition of the base model, then ``TextualInversionModelRaw``."""
    kind = name.partition("-")[0]
    on_disk = import_module("invokeai.backend.model_manager.model_on_disk").ModelOnDisk
    configs = import_module("invokeai.backend.model_manager.configs.textual_inversion")
    config = getattr(configs, f"TI_File_{kind.upper()}_Config")
    config._validate_base(on_disk(folder / name))
    raw = import_module("invokeai.backend.textual_inversion").TextualInversionModelRaw
    found = raw.from_checkpoint(folder / name)
    if kind == "sdxl":
        return {"clip_g": found.embedding, "clip_l": found.embedding_2}
    return {"vectors": found.embedding}


LOADERS: dict[str, Callable[[Path, str], Mapping[str, torch.Tensor]]] = {
    "comfyui": _comfyui,
    "webui": _webui,
    "invokeai": _invokeai,
}
"""By the option that names the checkout."""
_VERSIONS = {
    "comfyui": ("comfyui_version.py", r'"([\d.]+)"'),
    "webui": ("CHANGELOG.md", r"^## (\S+)"),
    "invokeai": ("invokeai/version/invokeai_version.py", r'"([^"]+)"'),
}


class _Empty(ModuleType):
    """A module whose every name is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__init__": lambda self, *_, **__: None})
        setattr(self, name, made)
        return made


class _StandIns(MetaPathFinder, Loader):
    """Finds nothing but what it was told is not installed, which is there, empty."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in self.names:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is in it."""

    def without(self, call: Callable[[], T]) -> T:
        """What the call gives, each module that it lacks stood in for; it is made once for each."""
        while True:
            try:
                return call()
            except ModuleNotFoundError as error:
                name = (error.name or "").partition(".")[0]
                if not name or name in self.names or name in _OWN:
                    raise
                self.names.add(name)


def _read(tool: str, checkout: Path, folder: Path) -> dict[str, Any]:
    """In a process of the tool's own: what it has of each file, and what was stood in for."""
    finder = _StandIns()
    sys.meta_path.append(finder)
    sys.path.insert(0, str(checkout))
    sys.argv[1:] = ["--cpu"] if tool == "comfyui" else []
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        try:
            parts = finder.without(partial(LOADERS[tool], folder, path.name))
            found[path.name] = _finding(parts)
        except Exception as error:  # whatever a tool says to a file
            found[path.name] = f"{type(error).__name__}: {error}"
    own = {f"modules.{name}" for name in _SERVER} if tool == "webui" else set()
    return {"files": found, "stood in for": sorted(finder.names | own)}


def compare(tool: str, checkout: Path) -> tuple[dict[str, str], list[str]]:
    """What a tool made of each file, ``same`` or what it said; and what was stood in for."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = _exported(Path(folder))
        done = subprocess.run(
            [sys.executable, "-m", "tools.foreign_loaders", "--child", tool, str(checkout), folder],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise click.ClickException(f"{tool} in {checkout}: {done.stderr.strip()[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    said = {}
    for name, finding in wanted.items():
        got = told["files"][name]
        said[name] = "same" if got == finding else (got if isinstance(got, str) else "differs")
    return said, told["stood in for"]


def _state_of(tool: str, checkout: Path) -> str:
    name, pattern = _VERSIONS[tool]
    found = re.search(pattern, (checkout / name).read_text(encoding="utf-8"), re.MULTILINE)
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return f"{found[1] if found else '?'} ({commit or 'no commit known'})"


@click.command()
@click.option("--comfyui", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--webui", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--invokeai", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--child", nargs=3, hidden=True)
def main(child: tuple[str, str, str] | None, **checkouts: Path | None) -> None:
    """Load our exports through other tools' own loaders, from checkouts of them."""
    if child is not None:
        tool, checkout, folder = child
        print(json.dumps(_read(tool, Path(checkout), Path(folder))))
        return
    different = False
    for tool, place in checkouts.items():
        if place is None:
            continue
        said, stood_in = compare(tool, place.resolve())
        print(f"{tool} {_state_of(tool, place)}; stood in for: {', '.join(stood_in) or 'nothing'}")
        for name, what in said.items():
            print(f"  {name:32} {what}")
            different |= what == "differs"
    if different:
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
