"""Training speed: our step against the diffusers example's step and against the bare work.

    python -m benchmarks.ti_throughput                     # CPU, the bundled model
    python -m benchmarks.ti_throughput --batches 1,4,16    # SD2-shaped random weights on a GPU

Three ways to do the same training step on the same model, images, batch size and precision take
turns in one process, so that what else the machine does hits all of them alike:

``ours``
    :func:`coti.inversion.trainer.train_cycle` itself, from one φ callback to the next.
``example``
    The step of diffusers' ``examples/textual_inversion``, rewritten, in
    :mod:`benchmarks.peer_step`: ``OPERATIONS`` names each, ``LEFT_OUT`` what is not done.
``bare``
    What no implementation can avoid: frozen text encoder and UNet forward, the loss, and the
    gradient down to the vectors, on inputs prepared beforehand.

With ``--compile`` the bare work also takes turns with itself through ``torch.compile``, as
``train.compile: true`` does it: the default backend, the UNet alone.

The last line is one JSON object. Ratios are medians over rounds of paired times.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peer_step import LEFT_OUT, OPERATIONS, Example
from benchmarks.result import machine, say, table
from coti.core.images import encode_png
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel, load_text_to_image, training_attention
from coti.inversion.batches import BatchPlan
from coti.inversion.families.random_base_model import write_random
from coti.inversion.latents import encode_latents
from coti.inversion.loss import DenoisingLoss
from coti.inversion.prompt_encoder import PromptEncoder
from coti.inversion.trainer import train_cycle
from coti.scores.formulas import PhiValue
from coti.settings import ModelSettings, ScheduleSettings, TokenSettings, TrainSettings

TOKEN = TokenSettings(placeholder_token="<bench>", initializer="photo", num_vectors=4)


class Bare:
    """Forward and input gradient on prepared inputs: nothing sampled, moved, logged or updated."""

    def __init__(self, model: TextToImageModel, images: torch.Tensor, batch_size: int) -> None:
        settings = TrainSettings(batch_size=batch_size)
        self.model = model
        self.loss = DenoisingLoss(model)
        self.plan = BatchPlan(
            len(images), None, settings, TOKEN, model.latent_shape, self.loss.timesteps, 0
        )
        self.encoder = PromptEncoder(model, {TOKEN.placeholder_token: TOKEN.num_vectors})
        cache = encode_latents(model, images)
        all_ids = [ids.to(model.device) for ids in self.encoder.tokenize(self.plan.prompts)]
        start = Embedding.initial(model, TOKEN)
        self.vectors = [part.to(model.device).requires_grad_() for part in start.parts]
        self.inputs = []
        for step in range(8):
            batch = self.plan.batch(step)
            used, which = torch.unique(batch.prompts, return_inverse=True)
            latents = cache.sample(batch.images, batch.posterior_noise.to(model.device))
            draws = (latents, batch.noise.to(model.device), batch.timesteps.to(model.device))
            ids = [rows[used.to(model.device)] for rows in all_ids]
            self.inputs.append((ids, which.to(model.device), draws))
        self.place = 0

    def step(self) -> None:
        """Text encoder, UNet, loss, gradient."""
        ids, which, draws = self.inputs[self.place % len(self.inputs)]
        self.place += 1
        with training_attention(self.model):
            prompts = self.encoder(ids, self.vectors).rows(which)
            torch.autograd.grad(self.loss(*draws, prompts), self.vectors)


@dataclass(frozen=True)
class Case:
    """What is trained, on what, and how."""

    model: TextToImageModel
    batch_size: int
    """Images a step."""
    images: torch.Tensor
    """uint8 [64, 3, h, w], for the model's resolution."""
    folder: Path
    """The same, as files."""
    steps: int
    """Steps a turn."""

    def bare(self, model: TextToImageModel | None = None) -> Bare:
        """The bare work of the model, or of a changed one."""
        return Bare(model or self.model, self.images, self.batch_size)

    def example(self) -> Example:
        """The example's step."""
        return Example(self.model, self.folder, self.batch_size, TOKEN.num_vectors)

    def seconds(self, step: Callable[[], None]) -> float:
        """Seconds a step, in a turn."""
        return _seconds(step, self.steps, self.model.device)


def _seconds(step: Callable[[], None], steps: int, device: torch.device) -> float:
    """Seconds a step, the device's queue emptied before and after."""
    _wait(device)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return (time.perf_counter() - started) / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def compare(case: Case, rounds: int) -> dict[str, Any]:
    """Seconds a step of the three, taking turns ``rounds`` times, and their ratios."""
    example, bare, steps = case.example(), case.bare(), case.steps
    times: dict[str, list[float]] = {"ours": [], "example": [], "bare": []}
    mark = 0.0

    def turn(_embedding: Embedding, step: int) -> PhiValue:
        nonlocal mark
        _wait(case.model.device)
        found = {"ours": (time.perf_counter() - mark) / steps}
        found |= {"example": case.seconds(example.step), "bare": case.seconds(bare.step)}
        if step > steps:  # the first turn warms up
            for name, seconds in found.items():
                times[name].append(seconds)
        mark = time.perf_counter()
        return PhiValue(5.0, 5.0, 5.0)

    settings = TrainSettings(
        batch_size=case.batch_size,
        max_steps=(rounds + 1) * steps,
        phi_every=steps,
        checkpoint_every=0,
        learning_rates=(5e-4,),
    )
    start = Embedding.initial(case.model, TOKEN)
    schedule = ScheduleSettings(dynamic=False)
    train_cycle(case.model, case.images, None, start, settings, schedule, turn, 0, token=TOKEN)
    pairs = list(zip(times["ours"], times["example"], times["bare"], strict=True))
    return {
        "batch_size": case.batch_size,
        "seconds": {name: statistics.median(values) for name, values in times.items()},
        "example_over_ours": statistics.median(e / o for o, e, _ in pairs),
        "ours_over_bare": statistics.median(o / b for o, _, b in pairs),
        "rounds": rounds,
        "steps": steps,
    }


def breakdown(case: Case, whole: dict[str, float]) -> dict[str, float]:
    """Seconds of the parts of a step, each timed alone (sums differ a little from the whole).

    ``whole`` has the seconds of a step, for the rest that no part is.
    """
    model, example, bare = case.model, case.example(), case.bare()
    pixels, example_ids = next(example.batches)
    vocabulary = example.text_encoder.get_input_embeddings().weight
    cache = encode_latents(model, case.images)
    ids, which, draws = bare.inputs[0]
    with torch.no_grad():
        prompts = bare.encoder(ids, bare.vectors).rows(which)
    leaf = replace(prompts, hidden=prompts.hidden.detach().requires_grad_())
    ours = [each.detach().clone().requires_grad_() for each in bare.vectors]
    for vectors in ours:
        vectors.grad = torch.ones_like(vectors)
    optimizer = torch.optim.AdamW(ours, lr=5e-4)

    def draw() -> None:
        batch = bare.plan.batch(1)
        cache.sample(batch.images, batch.posterior_noise.to(model.device))

    def text() -> None:
        with training_attention(model):
            torch.autograd.grad(bare.encoder(ids, bare.vectors).hidden.float().sum(), bare.vectors)

    def unet_forward() -> None:
        with torch.no_grad():
            bare.loss(*draws, leaf)

    def unet() -> None:
        with training_attention(model):
            torch.autograd.grad(bare.loss(*draws, leaf), leaf.hidden)

    @torch.no_grad()
    def encode() -> None:
        example.encode(pixels)

    def example_text() -> None:
        torch.autograd.grad(example.text(example_ids).float().sum(), vocabulary)

    def example_update() -> None:
        grad = torch.zeros_like(vocabulary)
        vocabulary.grad = grad
        example.update()

    parts: dict[str, Callable[[], None]] = {
        "UNet forward": unet_forward,
        "UNet forward and gradient": unet,
        "ours: draw a batch and its latents": draw,
        "ours: text encoder, forward and gradient": text,
        "ours: optimizer": optimizer.step,
        "example: open, resize and tokenise": lambda: next(example.batches),
        "example: autoencoder": encode,
        "example: text encoder, forward and the table's gradient": example_text,
        "example: AdamW on the table, its rows written back": example_update,
    }
    for part in parts.values():
        part()
    rounds = [{name: case.seconds(part) for name, part in parts.items()} for _ in range(3)]
    found = {name: min(one[name] for one in rounds) for name in parts}
    unet_time = found["UNet forward and gradient"]
    for who in ("ours", "example"):
        own = sum(value for name, value in found.items() if name.startswith(f"{who}:"))
        found[f"{who}: the rest (negative: the parts alone take longer)"] = (
            whole[who] - unet_time - own
        )
    return found


def compute(case: Case, seconds: float) -> dict[str, float]:
    """Operations of the unavoidable work, and what share of the machine's matmul rate it runs at.

    ``seconds`` is what a step of ours takes.
    """
    model, bare = case.model, case.bare()
    with FlopCounterMode(display=False) as counter:
        bare.step()
    size = 8192 if model.device.type == "cuda" else 1024
    left, right = torch.randn(2, size, size, device=model.device).to(model.dtype)
    left @ right
    rate = 2 * size**3 / min(_seconds(lambda: left @ right, 5, model.device) for _ in range(5))
    done = counter.get_total_flops() / seconds
    return {
        "flops_a_step": counter.get_total_flops(),
        "flops_a_second": done,
        "matmul_flops_a_second": rate,
        "share": done / rate,
    }


def compiled(case: Case, rounds: int) -> dict[str, float]:
    """Seconds a step of the bare work, the UNet compiled and not, and those of the first step."""
    model, plain = case.model, case.bare()
    fast = case.bare(replace(model, unet=torch.compile(model.unet)))
    first = _seconds(fast.step, 1, model.device)
    plain.step()
    pairs = [(case.seconds(plain.step), case.seconds(fast.step)) for _ in range(rounds)]
    return {
        "first_step": first,
        "bare": statistics.median(seconds for seconds, _ in pairs),
        "compiled": statistics.median(seconds for _, seconds in pairs),
        "bare_over_compiled": statistics.median(a / b for a, b in pairs),
    }


def report(result: dict[str, Any]) -> str:
    """Training: the step against its peers, and where its time goes."""
    rows = []
    for row in result["rows"]:
        times = [f"{1e3 * row['seconds'][name]:.1f}" for name in ("ours", "example", "bare")]
        share = f"{row['compute']['share']:.0%}"
        ratios = [f"{row['example_over_ours']:.2f}", f"{row['ours_over_bare']:.3f}"]
        rows.append([str(row["batch_size"]), *times, *ratios, share])
    head = ["batch", "ours, ms", "diffusers example, ms", "bare work, ms"]
    head += ["example / ours", "ours / bare", "share of the matmul rate"]
    if result["gpu"] != "measured":
        rows += [[f"{size}, GPU", *["not measured"] * 6] for size in (1, 4, 16)]
    ceilings = [
        f"{row['seconds']['example'] / row['seconds']['bare']:.2f} at batch {row['batch_size']}"
        for row in result["rows"]
    ]
    names = list(result["rows"][0]["parts"])
    parts = [
        [name, *(f"{1e3 * row['parts'][name]:.1f}" for row in result["rows"])] for name in names
    ]
    sizes = [f"batch {row['batch_size']}, ms" for row in result["rows"]]
    faster = [
        f"`torch.compile` at batch {row['batch_size']}: {fast['bare_over_compiled']:.2f} times as "
        f"fast as the bare work; its first step took {fast['first_step']:.0f} s.\n\n"
        for row in result["rows"]
        for fast in [row.get("compiled")]
        if fast is not None
    ]
    operations = "\n".join(f"{n}. {what}" for n, what in enumerate(result["operations"], 1))
    return (
        f"{result['model']}, {result['device']}, {result['dtype']}, {result['threads']} threads, "
        f"torch {result['torch']}; medians of {result['rows'][0]['rounds']} paired rounds. Asked: "
        "example / ours at least 1.3 on a CPU, 2 on a GPU at batch 4; ours / bare at most 1.1.\n\n"
        f"{table(head, rows)}\n\nNo trainer gets beyond example / bare, here "
        f"{', '.join(ceilings)}: that is what the example wastes on this machine."
        f"\n\n{''.join(faster)}Where a step's time goes, each part timed alone:\n\n"
        f"{table(['part', *sizes], parts)}\n\nThe example's step is reimplemented, with these "
        f"operations:\n\n{operations}\n\nLeft out: {'; '.join(result['left_out'])}."
    )


def main() -> None:
    """Measure and say it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--model", default="", help="default: bundled on CPU, random SD2 on GPU")
    parser.add_argument("--batches", default="", help="default: 16 on CPU, 1,4,16 on GPU")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's own choice")
    parser.add_argument("--compile", action="store_true", help="with torch.compile, too")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    on_gpu = torch.cuda.is_available()
    compiles = options.compile and shutil.which(os.environ.get("CXX", "g++")) is not None
    if options.compile and not compiles:
        print("torch.compile: not measured: no C++ compiler")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = options.model or ("" if on_gpu else "assets/models/base")
        if not path:
            path = str(write_random("sd2-base", folder / "sd2"))
        model = load_text_to_image(ModelSettings(base_model=path, dtype=options.dtype))
        # Kernels kept from an earlier run would hide what compiling takes.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "kernels")
        generator, side = torch.Generator().manual_seed(0), model.resolution
        images = torch.randint(0, 256, (64, 3, side, side), generator=generator, dtype=torch.uint8)
        (folder / "images").mkdir()
        for number, image in enumerate(images):
            (folder / "images" / f"{number:03d}.png").write_bytes(encode_png(image))
        for size in (options.batches or ("1,4,16" if on_gpu else "16")).split(","):
            case = Case(model, int(size), images, folder / "images", options.steps)
            row = compare(case, options.rounds)
            row["compute"] = compute(case, row["seconds"]["ours"])
            row["parts"] = breakdown(case, row["seconds"])
            if compiles:
                row["compiled"] = compiled(case, options.rounds)
            rows.append(row)
    result = {
        "benchmark": "ti_throughput",
        **machine(model.dtype),
        "rows": rows,
        "operations": OPERATIONS,
        "left_out": LEFT_OUT,
        "model": options.model or ("random sd2-base" if on_gpu else path),
    }
    say(report(result), result)


if __name__ == "__main__":
    main()
