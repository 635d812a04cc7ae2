"""Images a second: our generation against StableDiffusionPipeline, and what steps are worth.

    python -m benchmarks.generation_throughput --embedding outputs/latest/learned_embeds.safetensors

Both have the same prompt, noise, solver, guidance, precision and batch size, taking turns in one
process; the pipeline is loaded as its documentation says, without a safety checker.
Then the number of solver steps is varied: the mean difference from 50 steps in levels of 255, and
with ``--metrics`` what the judge says of as many images as it has features (Fréchet distance to
the bundled references, R-precision), which is what a saved step could cost. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch

from benchmarks.result import machine, say, table
from coti.core.images import read_image_folder
from coti.core.quiet_libraries import quiet_libraries
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.generation.fixed_noise import generate_fixed
from coti.generation.sampler import fixed_noise, generate
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.metrics.judge import embed_references, judge_images
from coti.settings import GenerationSettings, ModelSettings
from ops.run_file import load_settings
from ops.stack.locations import locate

STEPS = (5, 7, 10, 15, 20)


def load_pipeline(model: TextToImageModel, settings: GenerationSettings) -> Any:
    """The plain diffusers pipeline for the same folder, solver and precision."""
    diffusers: Any = import_module("diffusers")
    with quiet_libraries():
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(model.name)
        pipe = pipe.to(model.device, model.dtype)
        solver = getattr(diffusers, settings.scheduler)
        pipe.scheduler = solver.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


class Verdict:
    """The bundled judge on the bundled concept, as judge_cycle has it."""

    def __init__(self, images: int) -> None:
        config = load_settings()
        self.config, self.settings = config, config.evaluation
        self.judge = load_image_text_encoder(locate(self.settings.judge))
        if images < self.judge.size:
            raise SystemExit(f"--metrics needs at least {self.judge.size} images.")
        side = ModelSettings(base_model=locate(config.model.base_model))
        resolution = load_text_to_image(side).resolution
        real = read_image_folder(locate(str(config.references)), resolution)[1]
        self.references = embed_references(self.judge, config.concept, real, self.settings)

    def of(self, images: torch.Tensor) -> dict[str, float]:
        """Fréchet distance, KID with its interval, and R-precision of images."""
        found = judge_images(
            self.judge, images, self.references, self.config.concept, self.settings, 0
        )
        names = ("fd_judge", "r_precision", "kid", "kid_low", "kid_high")
        return {name: found[name] for name in names}


def enough(rows: list[dict[str, Any]], other: dict[str, float]) -> int | None:
    """The fewest steps from which on nothing differs from the finest by more than chance does.

    Args:
        rows: by rising number of steps; the last is the finest.
        other: the finest again, on another noise.
    """
    finest, found = rows[-1], None
    chance = abs(other["r_precision"] - finest["r_precision"])
    for row in reversed(rows[:-1]):
        apart = row["kid_low"] > finest["kid_high"] or finest["kid_low"] > row["kid_high"]
        if apart or abs(row["r_precision"] - finest["r_precision"]) > max(chance, 0.01):
            break
        found = int(row["steps"])
    return found


def seconds_of(produce: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    produce()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def report(result: dict[str, Any]) -> str:
    """Images a second, and what fewer solver steps cost."""
    judged = "fd_judge" in result["rows"][0]
    head = ["solver steps", "images a second", "levels of 255 from 50 steps"]
    head += ["fd_judge", "KID [95 %]", "R-precision"] if judged else []
    rows = []
    for row in result["rows"]:
        cells = [str(row["steps"]), f"{row['images_a_second']:.1f}", f"{row['difference']:.2f}"]
        if judged:
            kid = f"{row['kid']:.4f} [{row['kid_low']:.4f}, {row['kid_high']:.4f}]"
            cells += [f"{row['fd_judge']:.3f}", kid, f"{row['r_precision']:.3f}"]
        rows.append(cells)
    noise = ""
    if judged:
        other = result["other_noise"]
        fewest = result["enough_steps"]
        said = "none but 50" if fewest is None else f"{fewest}"
        noise = (
            f"\n\nAnother noise at 50 steps: fd_judge {other['fd_judge']:.3f}, KID "
            f"{other['kid']:.4f}, R-precision {other['r_precision']:.3f}; what differs less from "
            f"50 steps than this is chance. The fewest steps from which on R-precision and KID's "
            f"interval agree with 50 steps within it, or 0.01: {said}."
        )
    return (
        f"{result['device']}, {result['dtype']}, {result['threads']} threads: ours "
        f"{result['ours']:.1f} images a second, StableDiffusionPipeline "
        f"{result['pipeline']:.1f}, ratio {result['ratio']:.2f}.\n\n{table(head, rows)}{noise}"
    )


def main() -> None:
    """Measure and say it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--model", default="assets/models/base")
    parser.add_argument("--embedding", default="", help="to generate with; default: none")
    parser.add_argument("--prompt", default="a photo of a {}", help="{} stands for its token")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--metrics", type=int, default=0, help="images the judge sees for each number of steps"
    )
    parser.add_argument("--threads", type=int, default=0, help="0: torch's own choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = load_text_to_image(ModelSettings(base_model=options.model))
    settings = GenerationSettings(batch_size=options.images)
    embeddings: list[Embedding] = [Embedding.load(options.embedding)] if options.embedding else []
    prompt = options.prompt.replace("{}", embeddings[0].token if embeddings else "photo")
    prompts = [prompt] * options.images
    pipe = load_pipeline(model, settings)
    if embeddings:
        with quiet_libraries():
            pipe.load_textual_inversion(options.embedding)
    noise = fixed_noise(model, range(options.images), 0)

    def ours() -> torch.Tensor:
        return generate(model, prompts, embeddings, settings, 0)

    def theirs() -> None:
        with quiet_libraries():
            pipe(
                prompts,
                num_inference_steps=settings.num_inference_steps,
                guidance_scale=settings.guidance_scale,
                latents=noise.to(model.device, model.dtype),
                output_type="np",
            )

    ours()
    theirs()
    pairs = [(seconds_of(ours), seconds_of(theirs)) for _ in range(options.rounds)]
    our_rate, their_rate = (options.images / statistics.median(t) for t in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)

    finest = generate(
        model, prompts, embeddings, replace(settings, num_inference_steps=50), 0
    ).float()
    rows: list[dict[str, Any]] = []
    verdict = Verdict(options.metrics) if options.metrics and embeddings else None

    def judged(steps: int, seed: int) -> dict[str, float]:
        if verdict is None:
            return {}
        how = replace(settings, num_inference_steps=steps, cycle_images=options.metrics)
        made = generate_fixed(model, embeddings[0], how, options.metrics, seed, "cycle")
        return verdict.of(made.images)

    for steps in STEPS if verdict is None else (*STEPS, 50):
        how = replace(settings, num_inference_steps=steps)
        started = time.perf_counter()
        images = generate(model, prompts, embeddings, how, 0).float()
        seconds = time.perf_counter() - started
        rows.append(
            {
                "steps": steps,
                "images_a_second": options.images / seconds,
                "difference": float((images - finest).abs().mean()),
            }
        )
        rows[-1] |= judged(steps, 0)
    other = judged(50, 1)
    result = {
        "benchmark": "generation_throughput",
        **machine(model.dtype),
        "ours": our_rate,
        "pipeline": their_rate,
        "ratio": ratio,
        "rows": rows,
        **({"other_noise": other, "enough_steps": enough(rows, other)} if other else {}),
    }
    say(report(result), result)


if __name__ == "__main__":
    main()
