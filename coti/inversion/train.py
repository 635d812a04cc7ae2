"""One cycle of textual inversion: the training loop, top to bottom in :func:`train_cycle`."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from tqdm import tqdm

from coti.errors import TrainingError
from coti.inversion.batches import BatchPlan
from coti.inversion.checkpoint import (
    Checkpoint,
    CheckpointStore,
    read_checkpoint,
    tensor_hash,
    write_checkpoint,
)
from coti.inversion.curve import Curve, PhiValue
from coti.inversion.embedding import Embedding
from coti.inversion.latents import encode_latents
from coti.inversion.loss import DenoisingLoss
from coti.inversion.model import TextToImageModel, training_attention
from coti.inversion.norms import NormControl
from coti.inversion.tokens import PromptEncoder, check_fits
from coti.schedule import Action, DynamicSchedule
from coti.settings import ScheduleSettings, TokenSettings, TrainSettings

__all__ = ["PhiValue", "TrainResult", "train_cycle"]

_CHECK_EVERY = 25
"""Optimizer steps between two looks at the numbers kept on a GPU; a look waits for the GPU."""


@dataclass(frozen=True)
class TrainResult:
    """What a cycle of training leaves."""

    embedding: Embedding
    curve: list[dict[str, float | int | None]]
    """One row an optimizer step: step (from 1), loss, learning_rate, stage, and phi, gamma_aes,
    gamma_con, which are None at steps without an evaluation."""
    steps: int
    image_steps: int
    """Pictures that went through the UNet."""
    stop_reason: str


def train_cycle(
    model: TextToImageModel,
    images: torch.Tensor | Sequence[torch.Tensor],  # X_T, uint8 [n, 3, h, w] or n of [3, h, w]
    captions: Sequence[str] | None,  # the pictures' own captions, n
    init: Embedding,  # where the word starts
    settings: TrainSettings,
    schedule: ScheduleSettings,
    evaluate_phi: Callable[[Embedding, int], PhiValue] | None,  # called with the step count
    seed: int,
    checkpoint: CheckpointStore | None = None,
    *,
    token: TokenSettings | None = None,  # templates and norm control; the rest is in ``init``
) -> TrainResult:
    """Train the word's vectors, and nothing else, on X_T (Gal et al. 2022, Eq. 2).

    Deterministic: on a CPU the same inputs give the same bytes for one number of threads, and a
    run that was killed and goes on from its checkpoint gives what an undisturbed one gives.

    Raises:
        TrainingError: X_T is empty, a number stopped being finite (step and cause are named),
            the device ran out of memory, or the checkpoint belongs to another training.
        EmbeddingError: ``init`` does not fit the model.
    """
    token = token or TokenSettings(placeholder_token=init.token, num_vectors=init.num_vectors)
    check_fits(model, init)
    if not all(bool(part.isfinite().all()) for part in init.parts):
        raise TrainingError(
            f"The initial embedding {init.token} is not finite: take another initializer."
        )
    identity = _identity(model, images, captions, init, settings, schedule, token, seed)
    saved = read_checkpoint(checkpoint, identity) if checkpoint is not None else None

    encoder = PromptEncoder(model, {init.token: init.num_vectors})
    denoising_loss = DenoisingLoss(_compiled(model) if settings.compile else model)
    plan = BatchPlan(
        len(images), captions, settings, token, model.latent_shape, denoising_loss.timesteps, seed
    )
    prompt_ids = [ids.to(model.device) for ids in encoder.tokenize(plan.prompts)]
    with _out_of_memory_explained(settings):
        latents = encode_latents(model, images, mirrored=settings.horizontal_flip)

    vectors = [part.to(model.device, copy=True).requires_grad_() for part in init.parts]
    optimizer = torch.optim.AdamW(
        vectors,
        lr=settings.learning_rates[0],
        betas=settings.adam_betas,
        weight_decay=settings.weight_decay,
        fused=model.device.type in ("cpu", "cuda"),
    )
    norms = NormControl(model, token.norm_control)
    pace = DynamicSchedule(schedule, settings.learning_rates)
    curve = Curve()
    step, ended = 0, False
    phi_every = _phi_interval(settings, len(images))
    if saved is not None:
        step, ended = _restore(saved, vectors, optimizer, pace, curve)

    bar = tqdm(total=settings.max_steps, initial=step, desc="training", leave=False, disable=None)
    with (
        bar,
        _terminations() as terminated,
        _out_of_memory_explained(settings),
        _gradient_checkpointing(model, settings.gradient_checkpointing),
    ):
        while step < settings.max_steps and not ended:
            optimizer.zero_grad(set_to_none=True)
            loss = torch.zeros((), device=model.device)
            for part in range(settings.gradient_accumulation_steps):
                batch = plan.batch(step * settings.gradient_accumulation_steps + part)
                # The text encoder sees each caption of the batch once.
                used, which = torch.unique(batch.prompts, return_inverse=True)
                ids = [rows[_move(used, model.device)] for rows in prompt_ids]
                noises = [_move(x, model.device) for x in (batch.posterior_noise, batch.noise)]
                timesteps = _move(batch.timesteps, model.device)
                with training_attention(model):
                    prompts = encoder(ids, vectors).rows(_move(which, model.device))
                    clean = latents.sample(batch.pictures, noises[0])
                    share = denoising_loss(clean, noises[1], timesteps, prompts)
                    share = share / settings.gradient_accumulation_steps
                    torch.autograd.backward(share)
                loss += share.detach()
            for group in optimizer.param_groups:
                group["lr"] = pace.learning_rate
            optimizer.step()
            norms.apply(vectors)
            step += 1
            curve.add(step, loss, vectors, pace)
            bar.update()

            last = step == settings.max_steps
            if evaluate_phi is not None and step % phi_every == 0:
                curve.check()
                value = evaluate_phi(_word(init, vectors, step), step)
                curve.add_phi(value)
                ended = pace.observe(value.phi) is Action.END
            keep = settings.checkpoint_every and step % settings.checkpoint_every == 0
            if keep or last or ended or terminated or step % _CHECK_EVERY == 0:
                curve.check()
            if checkpoint is not None and (keep or last or ended or terminated):
                state = _state(identity, step, ended, vectors, optimizer, pace, curve)
                write_checkpoint(checkpoint, state)
            if terminated:
                break
    if terminated and step < settings.max_steps and not ended:
        _pass_on(terminated[0], step, checkpoint is not None)
    return TrainResult(
        embedding=_word(init, vectors, step),
        curve=curve.rows,
        steps=step,
        image_steps=step * settings.batch_size * settings.gradient_accumulation_steps,
        stop_reason=pace.reason if ended else f"All {settings.max_steps} steps are done.",
    )


def _phi_interval(settings: TrainSettings, pictures: int) -> int:
    """Optimizer steps between two evaluations of φ."""
    if settings.phi_unit == "steps":
        return settings.phi_every
    a_step = settings.batch_size * settings.gradient_accumulation_steps
    return max(1, math.ceil(settings.phi_every * pictures / a_step))


def _word(init: Embedding, vectors: list[torch.Tensor], step: int) -> Embedding:
    return init.with_parts(tuple(vectors), step=str(step))


def _move(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """To the device without waiting for it."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _compiled(model: TextToImageModel) -> TextToImageModel:
    """The model with its UNet compiled; the first step then takes a minute or more."""
    return replace(model, unet=torch.compile(model.unet))


@contextmanager
def _gradient_checkpointing(model: TextToImageModel, wanted: bool) -> Iterator[None]:
    """Recompute the UNet's activations instead of keeping them; the text encoder's are small."""
    if not wanted:
        yield
        return
    # Some versions of diffusers checkpoint in training mode only; the UNet has no dropout, so
    # nothing else depends on the mode.
    model.unet.enable_gradient_checkpointing()
    model.unet.train()
    try:
        yield
    finally:
        model.unet.disable_gradient_checkpointing()
        model.unet.eval()


def _identity(
    model: TextToImageModel,
    images: torch.Tensor | Sequence[torch.Tensor],
    captions: Sequence[str] | None,
    init: Embedding,
    settings: TrainSettings,
    schedule: ScheduleSettings,
    token: TokenSettings,
    seed: int,
) -> dict[str, str]:
    """What the trained vectors depend on; a checkpoint must agree in all of it."""
    named: dict[str, Any] = {f"train.{name}": value for name, value in asdict(settings).items()}
    named |= {f"schedule.{name}": value for name, value in asdict(schedule).items()}
    named |= {
        "token.learnable_property": token.learnable_property,
        "token.norm_control": token.norm_control,
        "base model": model.fingerprint[:12],
        "dtype": model.dtype,
        "device": model.device.type,
        "pictures": tensor_hash(*images),
        "captions": tensor_hash(torch.tensor(list("\n".join(captions or ()).encode()))),
        "initial embedding": f"{init.token} {tensor_hash(*init.parts)}",
        "seed": seed,
    }
    # How often checkpoints are written changes nothing in what is trained.
    del named["train.checkpoint_every"]
    return {name: str(value) for name, value in named.items()}


def _state(
    identity: dict[str, str],
    step: int,
    ended: bool,
    vectors: Sequence[torch.Tensor],
    optimizer: torch.optim.Optimizer,
    pace: DynamicSchedule,
    curve: Curve,
) -> Checkpoint:
    tensors = {f"vectors.{i}": part for i, part in enumerate(vectors)}
    for i, part in enumerate(vectors):
        tensors |= {f"{name}.{i}": value for name, value in optimizer.state[part].items()}
    state = {"step": step, "ended": ended, "schedule": pace.state_dict(), "curve": curve.rows}
    return Checkpoint(identity, state, tensors)


@torch.no_grad()
def _restore(
    saved: Checkpoint,
    vectors: Sequence[torch.Tensor],
    optimizer: torch.optim.Optimizer,
    pace: DynamicSchedule,
    curve: Curve,
) -> tuple[int, bool]:
    """Put everything back where it was; returns the step and whether the cycle had ended."""
    for i, part in enumerate(vectors):
        part.copy_(saved.tensors[f"vectors.{i}"])
        moments = [name for name in saved.tensors if name.endswith(f".{i}")]
        for name in moments:
            key = name.removesuffix(f".{i}")
            if key != "vectors":
                optimizer.state[part][key] = saved.tensors[name].to(part.device)
    pace.load_state_dict(saved.state["schedule"])
    curve.rows = list(saved.state["curve"])
    return int(saved.state["step"]), bool(saved.state["ended"])


@contextmanager
def _terminations() -> Iterator[list[int]]:
    """Collects SIGTERM inside, so that the step in progress can be finished and saved."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # Python lets only the main thread have signal handlers.
        return
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


def _pass_on(number: int, step: int, saved: bool) -> None:
    """Hand a SIGTERM to whoever handled it before (by default: the process ends)."""
    signal.raise_signal(number)
    kept = "A checkpoint is kept: the same command goes on there." if saved else "Nothing is kept."
    raise TrainingError(f"Training was told to stop (SIGTERM) after step {step}. {kept}")


@contextmanager
def _out_of_memory_explained(settings: TrainSettings) -> Iterator[None]:
    """Says which knob to turn."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        knobs = []
        if settings.batch_size > 1:
            knobs.append(
                f"batch_size: {settings.batch_size // 2} with gradient_accumulation_steps: "
                f"{settings.gradient_accumulation_steps * 2} (about half)"
            )
        if not settings.gradient_checkpointing:
            knobs.append("gradient_checkpointing: true (about two thirds, a third more time)")
        knobs.append("dtype: bfloat16 if it is float32 (about half)")
        raise TrainingError(
            f"The device ran out of memory. Saves memory: {'; '.join(knobs)}. The last "
            "checkpoint is kept."
        ) from error
