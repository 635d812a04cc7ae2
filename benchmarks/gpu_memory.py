"""Which tensors live when on a GPU, by arithmetic: no GPU, no weights, no image.

    python -m benchmarks.gpu_memory                      # every configuration and precision
    python -m benchmarks.gpu_memory --only sd15

The networks of a run file are built at their true size with tensors that have a shape and no
content, and the operations of a training step, of guided generation and of the encoders run on
them; what is alive at once is added up. Left out is what no shape says: the CUDA context (some 0.5
GiB), cuDNN's work space, what the allocator leaves unused, and loading. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from benchmarks.result import say, table
from coti.core.out_of_memory import GIB
from coti.encoders.random_encoders import inception_network
from coti.inversion.base_model import TextToImageModel, training_attention, vae_dtype
from coti.inversion.families.configurations import write_configs
from coti.inversion.families.random_base_model import networks, reduced
from coti.inversion.families.registry import architectures, family_of_index
from coti.inversion.latents import decode_latents, encoded_at_once, to_model_range
from coti.inversion.loss import DenoisingLoss, predict
from coti.inversion.memory import weight_bytes
from coti.inversion.prompt_encoder import PromptEncoder
from coti.inversion.trainer import recomputed_activations
from coti.settings import RunSettings
from coti.settings.from_yaml import read_run_file
from ops.stack.locations import ROOT

CONFIGS = {"sd15": "sd15", "sd2": "sd2-base", "sdxl": "sdxl", "paper": "sd2"}
"""Run files, and the architecture of each one's base model."""
DTYPES = ("float16", "bfloat16", "float32")
_TOKEN = "<memory>"
_LARGEST, _CONTEXT = 8e9, GIB // 2
"""Bytes of the GPU that is asked after, and what CUDA takes of it."""


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of tensors as operations make them, until nobody has them any more."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most, self._now = 0, 0
        self._seen = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do it, and look at what came."""
        made = func(*args, **(kwargs or {}))
        # What an operation was given and gives back lived before.
        given = {id(each.untyped_storage()) for each in _tensors((args, kwargs))}
        for tensor in _tensors(made):
            storage = tensor.untyped_storage()
            if storage not in self._seen and id(storage) not in given:
                self._seen[storage] = True
                self._now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage.nbytes())
        self.most = max(self.most, self._now)
        return made

    def _gone(self, count: int) -> None:
        self._now -= count


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [each for each in tree_leaves(tree) if isinstance(each, torch.Tensor)]


def most(work: Callable[[], Any]) -> int:
    """Most bytes that ``work`` has alive at once beside what lived before."""
    with _Alive() as alive:
        work()
    return int(alive.most)


def model_of(configs: Mapping[str, Any], dtype: torch.dtype) -> TextToImageModel:
    """A base model of an architecture without content, each part in the precision of a GPU's."""
    transformers: Any = import_module("transformers")
    with tempfile.TemporaryDirectory() as folder:
        write_configs(configs, Path(folder))
        family = family_of_index(configs, "the architecture")
        tokenizers = tuple(
            transformers.CLIPTokenizer.from_pretrained(str(Path(folder) / part.tokenizer))
            for part in family.text_encoders
        )
    upcast = _upcast(configs["vae"], dtype)
    made: dict[str, Any] = {}
    for part, config in configs.items():
        # Made in their precision: tensors without content are not converted in place.
        with _default(upcast if part == "vae" else dtype):
            made |= networks({part: config})
    for module in made.values():
        module.requires_grad_(False).eval()
    down = 2 ** (len(configs["vae"]["block_out_channels"]) - 1)
    return TextToImageModel(
        name="by shape",
        family=family,
        vae=made["vae"],
        unet=made["unet"],
        tokenizers=tokenizers,
        text_encoders=tuple(made[part.folder] for part in family.text_encoders),
        scheduler_config=configs["scheduler"],
        resolution=int(configs["unet"]["sample_size"]) * down,
        device=torch.device("cpu"),
        dtype=dtype,
        fingerprint="",
    )


def _upcast(config: Mapping[str, Any], dtype: torch.dtype) -> torch.dtype:
    described = SimpleNamespace(config=SimpleNamespace(**config))
    return vae_dtype(described, dtype, torch.device("cuda"))


@contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def training(model: TextToImageModel, batch: int, vectors: int, recompute: bool) -> int:
    """Bytes of a step: what is kept for the gradient, and the gradient's own."""
    tokens = PromptEncoder(model, {_TOKEN: vectors})
    ids = [torch.zeros(batch, 77, dtype=torch.int64) for _ in model.text_encoders]
    learned = [torch.zeros(vectors, width, requires_grad=True) for width in model.widths]
    loss = DenoisingLoss(model)
    latents, noise = (torch.zeros(batch, *model.latent_shape) for _ in range(2))
    timesteps = torch.zeros(batch, dtype=torch.int64)

    def step() -> None:
        with training_attention(model), recomputed_activations(model, recompute):
            torch.autograd.backward(loss(latents, noise, timesteps, tokens(ids, learned)))

    return most(step)


def generating(model: TextToImageModel, batch: int) -> tuple[int, int]:
    """Bytes of a guided solver step, and of decoding its images."""
    encoder = PromptEncoder(model, {})
    ids = [torch.zeros(2 * batch, 77, dtype=torch.int64) for _ in model.text_encoders]
    latents = torch.zeros(batch, *model.latent_shape)

    @torch.no_grad()
    def step() -> None:
        prompts = encoder(ids, [])
        predict(model, torch.cat([latents, latents]), torch.zeros((), dtype=torch.int64), prompts)

    return most(step), most(lambda: decode_latents(model, latents, batch))


def encoding(model: TextToImageModel) -> int:
    """Bytes of encoding images as latents, as many at once as the trainer does."""
    side = model.resolution
    images = torch.zeros(encoded_at_once(side), 3, side, side, dtype=torch.uint8)

    @torch.no_grad()
    def work() -> None:
        posterior = model.vae.encode(to_model_range(images, model)).latent_dist
        _ = posterior.mean, posterior.std

    return most(work)


def base_model(
    configs: Mapping[str, Any], batch: int, generated: int, vectors: int
) -> dict[str, dict[str, int]]:
    """Bytes of an architecture's parts by precision.

    Of float16 only the autoencoder, where it is kept in float32, differs from bfloat16.
    """
    found: dict[str, dict[str, int]] = {}
    for kind in ("bfloat16", "float32"):
        model = model_of(configs, getattr(torch, kind))
        step, decode = generating(model, generated)
        found[kind] = {
            "autoencoder": sum(p.numel() * p.element_size() for p in model.vae.parameters()),
            "weights": weight_bytes(model),
            "step": training(model, batch, vectors, recompute=False),
            "recomputed": training(model, batch, vectors, recompute=True),
            "least": training(model, 1, vectors, recompute=True),
            "solver": step,
            "decode": decode,
            "encode": encoding(model),
        }
    half, full = found["bfloat16"], found["float32"]
    found["float16"] = dict(half)
    if _upcast(configs["vae"], torch.float16) == torch.float32:
        more = full["autoencoder"] - half["autoencoder"]
        found["float16"] |= {key: full[key] for key in ("decode", "encode", "autoencoder")}
        found["float16"]["weights"] += more
    return found


def scorers(settings: RunSettings) -> dict[str, dict[str, int]]:
    """By key, bytes of an encoder's weights, float32 all, and of a batch."""
    open_clip: Any = import_module("open_clip")
    timm: Any = import_module("timm")
    own, judges = settings.concept_score, settings.evaluation
    named = {"scorer": (settings.scorer.model, settings.scorer.batch_size)}
    if own.model is not None:
        named["concept_score"] = (own.model, settings.scorer.batch_size)
    named["judge"] = (judges.judge, judges.batch_size)
    found = {}
    for key, (name, batch) in named.items():
        known = name.rpartition("/")[2]
        side = open_clip.get_model_config(known)["vision_cfg"]["image_size"]
        network = _shaped(partial(open_clip.create_model, known, device="meta"))
        # S_con's is loaded without the half that reads.
        held = network.visual if key == "concept_score" else network
        found[key] = _of_encoder(held, network.encode_image, batch, int(side))
    if judges.ssl_judge is not None:
        name = judges.ssl_judge
        network = _shaped(lambda: timm.create_model(name, num_classes=0))
        side = network.default_cfg["input_size"][-1]
        found["ssl_judge"] = _of_encoder(network, network, judges.batch_size, int(side))
    if judges.inception is not None:
        network = _shaped(inception_network)
        found["inception"] = _of_encoder(network, network, judges.batch_size, 299, torch.uint8)
    return found


def _shaped(make: Callable[[], Any]) -> Any:
    """A network whose makers move it, which tensors without content cannot be: these come after."""
    with unset_fake_temporarily(), torch.device("meta"):
        network = make().eval()
    for module in network.modules():
        for name, like in module.named_parameters(recurse=False):
            made = torch.empty(like.shape, dtype=like.dtype)
            module.register_parameter(name, torch.nn.Parameter(made, requires_grad=False))
        for name, like in module.named_buffers(recurse=False):
            module.register_buffer(name, torch.empty(like.shape, dtype=like.dtype))
    return network


def _of_encoder(
    network: Any,
    encode: Callable[[torch.Tensor], Any],
    batch: int,
    side: int,
    dtype: torch.dtype = torch.float32,
) -> dict[str, int]:
    images = torch.zeros(batch, 3, side, side, dtype=dtype)

    @torch.no_grad()
    def work() -> None:
        encode(images)

    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    return {"weights": weights, "batch": most(work)}


STEPS: dict[str, tuple[bool, tuple[str, ...]]] = {
    "initialize_embedding": (True, ()),
    "embed_pool": (False, ("scorer", "concept_score")),
    "embed_references": (False, ("judge", "ssl_judge", "inception")),
    "train_cycle": (True, ("scorer", "concept_score")),
    "score_generations": (False, ("scorer", "concept_score")),
    "judge_cycle": (False, ("judge", "ssl_judge", "inception")),
}
"""Whether the base model lives in a step, and which encoders do."""


def by_step(base: dict[str, int], others: dict[str, dict[str, int]]) -> dict[str, int]:
    """Most bytes of each step in a process of its own, and of all in one process, in which what was
    loaded once stays."""
    found = {}
    busiest = 0
    for step, (has_base, keys) in STEPS.items():
        own = [others[key] for key in keys if key in others]
        weights = base["weights"] * has_base + sum(each["weights"] for each in own)
        works = [each["batch"] for each in own]
        if has_base:
            works += [base["solver"], base["decode"]]
        if step == "train_cycle":
            works += [base["step"], base["encode"]]
        most_of = max(works, default=0)
        busiest = max(busiest, most_of)
        found[step] = weights + most_of
    every = base["weights"] + sum(each["weights"] for each in others.values())
    return {**found, "all in one process": every + busiest}


def account(name: str, quick: bool = False) -> dict[str, Any]:
    """One run file's; ``quick`` for a trial, at a tenth of the width and without encoders."""
    settings = read_run_file(ROOT / "configs" / f"{name}.yaml")
    configs = reduced(CONFIGS[name], 10, 64) if quick else architectures()[CONFIGS[name]]
    with FakeTensorMode(), _quiet():
        base = base_model(
            configs,
            settings.train.batch_size,
            settings.generation.batch_size,
            settings.token.num_vectors,
        )
        others = {} if quick else scorers(settings)
    return {
        "run": name,
        "architecture": CONFIGS[name],
        "batch_size": settings.train.batch_size,
        "generated": settings.generation.batch_size,
        "base": base,
        "scorers": others,
        "steps": {kind: by_step(base[kind], others) for kind in DTYPES},
    }


def report(result: dict[str, Any]) -> str:
    """Two tables: the parts, and the steps that hold them."""
    head = ["run file", "precision", "base model", "a step", "recomputed", "batch 1, recomputed"]
    head += ["solver step", "decoding", "encoding", "least for `coti train`", "least in the loop"]
    parts, lives = [], []
    for row in result["rows"]:
        for kind in DTYPES:
            base = row["base"][kind]
            least = base["weights"] + max(base["least"], base["encode"], base["decode"])
            loop = least + sum(
                row["scorers"][key]["weights"]
                for key in STEPS["train_cycle"][1]
                if key in row["scorers"]
            )
            keys = ("weights", "step", "recomputed", "least", "solver", "decode", "encode")
            parts.append(
                [
                    f"{row['run']}, batch {row['batch_size']}, {row['generated']} generated",
                    kind,
                    *(_gib(base[key]) for key in keys),
                    *(f"{_gib(each)}, {_fits(each)}" for each in (least, loop)),
                ]
            )
        for step in row["steps"][DTYPES[0]]:
            has_base, keys = STEPS.get(step, (True, tuple(row["scorers"])))
            named = [
                *(["base model"] if has_base else []),
                *(k for k in keys if k in row["scorers"]),
            ]
            peaks = [_gib(row["steps"][kind][step]) for kind in DTYPES]
            lives.append([row["run"], step, ", ".join(named), *peaks])
    alike: dict[tuple[str, ...], list[str]] = {}
    for row in result["rows"]:
        for key, each in row["scorers"].items():
            numbers = (key, _gib(each["weights"]), _gib(each["batch"]))
            alike.setdefault(numbers, []).append(row["run"])
    weights = [[", ".join(runs), *numbers] for numbers, runs in alike.items()]
    return (
        "By arithmetic, in GiB: the networks at their true size, tensors with shapes and without "
        "content; a GPU needs some 0.5 GiB more for its context, and what its allocator leaves "
        "unused.\n\nWhat lives in a step, by the step, where each runs in a process of "
        "its own (as pods do) or all in one:\n\n"
        f"{table(['run file', 'step', 'weights that live', *DTYPES], lives)}\n\n"
        "The base model's parts. A step keeps the activations for its gradient; recomputed is with "
        "`train.gradient_checkpointing`; a solver step has guidance's both halves. The least is "
        "with a batch of one image, recomputed; the loop has the scorers beside it, for φ. It fits "
        "where the context has room as well:\n\n"
        f"{table(head, parts)}\n\nThe encoders, in float32:\n\n"
        f"{table(['run file', 'encoder', 'weights', 'a batch'], weights)}"
    )


def _fits(count: int) -> str:
    return "fits 8 GB" if count + _CONTEXT <= _LARGEST else "does not fit 8 GB"


def _gib(count: int) -> str:
    return f"{count / GIB:.2f}"


@contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def main() -> None:
    """Reckon and say it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=sorted(CONFIGS), default=list(CONFIGS))
    parser.add_argument("--quick", action="store_true", help="narrow, to see that it runs")
    given = parser.parse_args()
    rows = [account(name, given.quick) for name in given.only]
    result = {"benchmark": "gpu_memory", "rows": rows}
    say(report(result), result)


if __name__ == "__main__":
    main()
