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
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peer_step import LEFT_OUT, OPERATIONS, Example
from benchmarks.sd_shapes import write_random
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel, load_text_to_image, training_attention
from coti.inversion.batches import BatchPlan
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
        plan = BatchPlan(
            len(images), None, settings, TOKEN, model.latent_shape, self.loss.timesteps, 0
        )
        self.encoder = PromptEncoder(model, {TOKEN.placeholder_token: TOKEN.num_vectors})
        cache = encode_latents(model, images)
        all_ids = [ids.to(model.device) for ids in self.encoder.tokenize(plan.prompts)]
        start = Embedding.initial(model, TOKEN)
        self.vectors = [part.to(model.device).requires_grad_() for part in start.parts]
        self.inputs = []
        for step in range(8):
            batch = plan.batch(step)
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


def compare(
    model: TextToImageModel,
    batch_size: int,  # images a step
    rounds: int,  # turns of the three
    steps: int,  # steps a turn
) -> dict[str, Any]:
    """Seconds a step of the three, taking turns, and their ratios."""
    side = model.resolution
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 3, side, side), generator=generator, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        _write(images, Path(folder))
        example, bare = (
            Example(model, Path(folder), batch_size, TOKEN.num_vectors),
            Bare(model, images, batch_size),
        )
        times: dict[str, list[float]] = {"ours": [], "example": [], "bare": []}
        mark = 0.0

        def turn(_word: Embedding, step: int) -> PhiValue:
            nonlocal mark
            _wait(model.device)
            if step > steps:  # the first turn warms up
                times["ours"].append((time.perf_counter() - mark) / steps)
            for name, other in (("example", example.step), ("bare", bare.step)):
                seconds = _seconds(other, steps, model.device)
                if step > steps:
                    times[name].append(seconds)
            mark = time.perf_counter()
            return PhiValue(5.0, 5.0, 5.0)

        settings = TrainSettings(
            batch_size=batch_size,
            max_steps=(rounds + 1) * steps,
            phi_every=steps,
            checkpoint_every=0,
            learning_rates=(5e-4,),
        )
        start = Embedding.initial(model, TOKEN)
        schedule = ScheduleSettings(dynamic=False)
        train_cycle(model, images, None, start, settings, schedule, turn, 0, token=TOKEN)
    pairs = list(zip(times["ours"], times["example"], times["bare"], strict=True))
    return {
        "batch_size": batch_size,
        "seconds": {name: statistics.median(values) for name, values in times.items()},
        "example_over_ours": statistics.median(e / o for o, e, _ in pairs),
        "ours_over_bare": statistics.median(o / b for o, _, b in pairs),
        "rounds": rounds,
        "steps": steps,
    }


def breakdown(
    model: TextToImageModel, batch_size: int, steps: int, whole: dict[str, float]
) -> dict[str, float]:
    """Seconds of the parts of a step, each timed alone (sums differ a little from the whole).

    ``whole`` has the seconds of a step, for the rest that no part is.
    """
    side = model.resolution
    images = torch.randint(0, 256, (64, 3, side, side), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        _write(images, Path(folder))
        return _parts(model, batch_size, steps, whole, images, Path(folder))


def _write(images: torch.Tensor, folder: Path) -> None:
    for number, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number:03d}.png")


def _parts(
    model: TextToImageModel,
    batch_size: int,
    steps: int,
    whole: dict[str, float],
    images: torch.Tensor,
    folder: Path,
) -> dict[str, float]:
    example = Example(model, folder, batch_size, TOKEN.num_vectors)
    pixels, example_ids = next(example.batches)
    table = example.text_encoder.get_input_embeddings().weight
    cache = encode_latents(model, images)
    bare = Bare(model, images, batch_size)
    ids, which, draws = bare.inputs[0]
    plan = BatchPlan(
        64,
        None,
        TrainSettings(batch_size=batch_size),
        TOKEN,
        model.latent_shape,
        bare.loss.timesteps,
        0,
    )
    with torch.no_grad():
        prompts = bare.encoder(ids, bare.vectors).rows(which)
    leaf = replace(prompts, hidden=prompts.hidden.detach().requires_grad_())
    ours = [each.detach().clone().requires_grad_() for each in bare.vectors]
    for vectors in ours:
        vectors.grad = torch.ones_like(vectors)
    optimizer = torch.optim.AdamW(ours, lr=5e-4)

    def draw() -> None:
        batch = plan.batch(1)
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
        torch.autograd.grad(example.text(example_ids).float().sum(), table)

    def example_update() -> None:
        grad = torch.zeros_like(table)
        table.grad = grad
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
    rounds = [
        {name: _seconds(part, steps, model.device) for name, part in parts.items()}
        for _ in range(3)
    ]
    found = {name: min(one[name] for one in rounds) for name in parts}
    unet_time = found["UNet forward and gradient"]
    for who in ("ours", "example"):
        own = sum(value for name, value in found.items() if name.startswith(f"{who}:"))
        found[f"{who}: the rest (negative: the parts alone take longer)"] = (
            whole[who] - unet_time - own
        )
    return found


def compute(model: TextToImageModel, batch_size: int, seconds: float) -> dict[str, float]:
    """Operations of the unavoidable work, and what share of the machine's matmul rate it runs at.

    Args:
        model: what is trained.
        batch_size: images a step.
        seconds: what a step of ours takes.
    """
    side = model.resolution
    images = torch.randint(0, 256, (8, 3, side, side), dtype=torch.uint8)
    bare = Bare(model, images, batch_size)
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


def compiled(
    model: TextToImageModel,
    batch_size: int,  # images a step
    rounds: int,  # turns of the two
    steps: int,  # steps a turn
) -> dict[str, float]:
    """Seconds a step of the bare work, the UNet compiled and not, and those of the first step."""
    side = model.resolution
    images = torch.randint(0, 256, (64, 3, side, side), dtype=torch.uint8)
    plain = Bare(model, images, batch_size)
    fast = Bare(replace(model, unet=torch.compile(model.unet)), images, batch_size)
    first = _seconds(fast.step, 1, model.device)
    plain.step()
    pairs = [
        (_seconds(plain.step, steps, model.device), _seconds(fast.step, steps, model.device))
        for _ in range(rounds)
    ]
    return {
        "first_step": first,
        "bare": statistics.median(seconds for seconds, _ in pairs),
        "compiled": statistics.median(seconds for _, seconds in pairs),
        "bare_over_compiled": statistics.median(a / b for a, b in pairs),
    }


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
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
    has_compiler = shutil.which(os.environ.get("CXX", "g++")) is not None
    with tempfile.TemporaryDirectory() as folder:
        name = options.model or ("" if on_gpu else "assets/models/base")
        if not name:
            name = str(write_random("sd2-base", Path(folder) / "sd2"))
        model = load_text_to_image(ModelSettings(base_model=name, dtype=options.dtype))
        # Kernels kept from an earlier run would hide what compiling takes.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder) / "kernels")
        batches = [int(b) for b in (options.batches or ("1,4,16" if on_gpu else "16")).split(",")]
        rows = [compare(model, size, options.rounds, options.steps) for size in batches]
        for row in rows:
            row["compute"] = compute(model, row["batch_size"], row["seconds"]["ours"])
            row["parts"] = breakdown(model, row["batch_size"], options.steps, row["seconds"])
            if options.compile and has_compiler:
                row["compiled"] = compiled(model, row["batch_size"], options.rounds, options.steps)
    print(f"{'batch':>5} {'ours':>10} {'example':>10} {'bare':>10} {'ex/ours':>8} {'ours/bare':>9}")
    for row in rows:
        times = "".join(f"{row['seconds'][n] * 1e3:>9.1f}m" for n in ("ours", "example", "bare"))
        print(
            f"{row['batch_size']:>5} {times} {row['example_over_ours']:>7.2f} "
            f"{row['ours_over_bare']:>9.3f}"
        )
    for row in rows:
        work = row["compute"]
        print(
            f"batch {row['batch_size']}: {work['flops_a_step'] / 1e9:.1f} GFLOP a step, "
            f"{work['flops_a_second'] / 1e12:.2f} TFLOP/s, {work['share']:.0%} of this machine's "
            f"own {str(model.dtype).removeprefix('torch.')} matmul rate"
        )
        print(f"parts of a step at batch {row['batch_size']}, milliseconds:")
        for part, seconds in row["parts"].items():
            print(f"  {part:<60} {seconds * 1e3:8.2f}")
        if "compiled" in row:
            fast = row["compiled"]
            print(
                f"torch.compile at batch {row['batch_size']}: bare {fast['bare'] * 1e3:.1f}m, "
                f"compiled {fast['compiled'] * 1e3:.1f}m, ratio {fast['bare_over_compiled']:.2f}; "
                f"the first step took {fast['first_step']:.0f} s"
            )
    if options.compile and not has_compiler:
        print("torch.compile: not measured: no C++ compiler")
    result = {
        "benchmark": "ti_throughput",
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "dtype": str(model.dtype),
        "torch": torch.__version__,
        "rows": rows,
        "operations": OPERATIONS,
        "left_out": LEFT_OUT,
        "model": options.model or ("random sd2-base" if on_gpu else name),
        "gpu": "measured" if on_gpu else "not measured",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
