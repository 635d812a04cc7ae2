"""One cycle of textual inversion: the training loop, top to bottom in :func:`train_cycle`."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import torch
from tqdm import tqdm

from coti.core.determinism import deterministic
from coti.core.errors import TrainingError
from coti.core.progress import progress_bar
from coti.core.seeding import derived_seed
from coti.core.work import working
from coti.inversion.adapters.protocol import Adapter
from coti.inversion.averaging import Average
from coti.inversion.base_model import TextToImageModel, training_attention
from coti.inversion.batches import Batch, BatchPlan
from coti.inversion.checkpoint import (
    Checkpoint,
    CheckpointStore,
    DamagedCheckpointError,
    KeyedCheckpointStore,
    left_behind,
    read_checkpoint,
    write_checkpoint,
)
from coti.inversion.curve import Curve
from coti.inversion.dvar import Dvar
from coti.inversion.latent_store import LatentStore
from coti.inversion.latents import encode_latents
from coti.inversion.loss import DenoisingLoss
from coti.inversion.memory import out_of_memory_explained
from coti.inversion.processes import Processes
from coti.inversion.prompt_encoder import PromptEncoder
from coti.inversion.schedule import Action, DynamicSchedule
from coti.inversion.training_state import identity_of, restore, state_of
from coti.scores.formulas import PhiValue
from coti.settings import ScheduleSettings, TokenSettings, TrainSettings

__all__ = ["OPTIMIZER_STEP", "TrainResult", "recomputed_activations", "train_cycle"]

A = TypeVar("A", bound=Adapter)

OPTIMIZER_STEP = "optimizer step"
"""What :mod:`coti.core.work` is told of the images of a step."""
_CHECK_EVERY = 25
"""Optimizer steps between two looks at the numbers kept on a GPU; a look waits for the GPU."""
_HALF_SCALE = 1024.0
"""The loss is multiplied by this before its gradient is taken in float16, and the gradient divided
by it after: of a mean over 4·64² numbers an image the gradient is below what float16 holds exactly
(Micikevicius et al. 2018). On the bundled model 2¹⁸ overflows nothing yet."""


@dataclass(frozen=True)
class TrainResult(Generic[A]):
    """What a cycle of training leaves."""

    embedding: A
    curve: list[dict[str, float | int | None]]
    """One row an optimizer step: step (from 1), loss, learning_rate, stage, and phi, gamma_aes,
    gamma_con, which are None at steps without an evaluation."""
    steps: int
    image_steps: int
    """Images that went through the UNet for a gradient, on all processes."""
    stop_reason: str
    compile_seconds: float | None = None
    """What the first step took where the UNet was compiled: the warm-up."""


def train_cycle(
    model: TextToImageModel,
    images: torch.Tensor | Sequence[torch.Tensor],  # X_T, uint8 [n, 3, h, w] or n of [3, h, w]
    captions: Sequence[str] | None,  # the images' own captions, n
    init: A,  # where the adapter starts
    settings: TrainSettings,
    schedule: ScheduleSettings,
    evaluate_phi: Callable[[A, int], PhiValue] | None,  # called with the step count
    seed: int,
    checkpoint: CheckpointStore | None = None,
    *,
    token: TokenSettings | None = None,  # templates and norm control; the rest is in ``init``
    latent_store: LatentStore | None = None,  # where many latents are kept between runs
) -> TrainResult[A]:
    """Train an adapter's tensors, and nothing else, on X_T (Gal et al. 2022, Eq. 2).

    Deterministic: on a CPU the same inputs give the same bytes for one number of threads, whatever
    runs beside (``model.deterministic``), and a run that was killed and goes on from its checkpoint
    gives what an undisturbed one gives. One byte of a checkpoint that differs from what was
    written is said, and the cycle starts at step 0.
    Started by ``accelerate launch``, the processes share each step: the effective batch is
    ``batch_size × gradient_accumulation_steps × processes``, and one process with that many
    accumulation steps gives the same tensors up to rounding.

    Raises:
        TrainingError: X_T is empty, a number stopped being finite (step and cause are named),
            the device ran out of memory, or the checkpoint belongs to another training.
        EmbeddingError: ``init`` does not fit the model.
    """
    token = token or TokenSettings(placeholder_token=init.token)
    init.check_fits(model)
    if not all(bool(part.isfinite().all()) for part in init.parts):
        raise TrainingError(
            f"The initial adapter of {init.token} is not finite: take another initializer."
        )
    group = Processes(model.device)
    identity = identity_of(
        model, images, captions, init, settings, schedule, token, seed, group.count
    )
    if isinstance(checkpoint, KeyedCheckpointStore):
        identity |= checkpoint.inputs
    saved = group.from_main(partial(_goes_on_from, checkpoint, identity))

    encoder = PromptEncoder(model, init.tokens)
    denoising_loss = DenoisingLoss(_compiled(model) if settings.compile else model)
    shape, timesteps = model.latent_shape, denoising_loss.timesteps
    plan = BatchPlan(len(images), captions, settings, token, shape, timesteps, seed)
    prompt_ids = [ids.to(model.device) for ids in encoder.tokenize(plan.prompts)]
    with deterministic(model.deterministic):
        latents = encode_latents(
            model,
            images,
            mirrored=settings.horizontal_flip,
            store=latent_store if group.is_main else None,
            keep_from=settings.keep_latents_from << 20,
        )

    parts = [part.to(model.device, copy=True).requires_grad_() for part in init.parts]
    optimizer = torch.optim.AdamW(
        parts,
        lr=settings.learning_rates[0],
        betas=settings.adam_betas,
        weight_decay=settings.weight_decay,
        fused=model.device.type in ("cpu", "cuda"),
    )
    constrain = init.constraint(model, token)
    # Of a cycle that goes on from another one the average goes on, too: it is that of all steps.
    before = int(init.metadata.get("step", "0"))
    average = Average(settings.average, parts)
    dvar: Dvar | None = None
    if schedule.stop == "dvar":
        dvar = Dvar(schedule.dvar_window, schedule.dvar_threshold)
        schedule = replace(schedule, dynamic=False)
        fixed_seed = derived_seed(seed, "dvar")
        fixed = BatchPlan(len(images), captions, settings, token, shape, timesteps, fixed_seed)
    dynamic_schedule = DynamicSchedule(schedule, settings.learning_rates)
    curve = Curve()
    step, ended, stopping = 0, False, False
    phi_every = _phi_interval(settings, len(images), group.count)
    scale = _HALF_SCALE if model.dtype == torch.float16 else 1.0
    if saved is not None:
        step, ended = restore(saved, parts, optimizer, dynamic_schedule, dvar, curve, average)
        if group.is_main:
            tqdm.write(f"Training goes on from its checkpoint of step {step}.")

    def loss_of(batch: Batch) -> torch.Tensor:
        # The text encoder sees each caption of the batch once.
        used, which = torch.unique(batch.prompts, return_inverse=True)
        ids = [rows[_move(used, model.device)] for rows in prompt_ids]
        noises = [_move(x, model.device) for x in (batch.posterior_noise, batch.noise)]
        prompts = encoder(ids, init.token_vectors(parts)).rows(_move(which, model.device))
        clean = latents.sample(batch.images, noises[0])
        return denoising_loss(clean, noises[1], _move(batch.timesteps, model.device), prompts)

    def ended_at() -> A:
        return init.with_parts(average.end(constrain), step=str(before + step))

    compile_seconds: float | None = None
    started = time.monotonic()

    bar = progress_bar(what="training", total=settings.max_steps, initial=step, unit=" steps")
    with (
        bar,
        deterministic(model.deterministic),
        _terminations() as received,
        out_of_memory_explained(settings, model),
        recomputed_activations(model, settings.gradient_checkpointing),
    ):
        while step < settings.max_steps and not ended:
            with working(
                OPTIMIZER_STEP, settings.batch_size * settings.gradient_accumulation_steps
            ):
                optimizer.zero_grad(set_to_none=True)
                loss = torch.zeros((), device=model.device)
                for micro in range(settings.gradient_accumulation_steps):
                    number = step * settings.gradient_accumulation_steps + micro
                    batch = plan.batch(number * group.count + group.rank)
                    with training_attention(model), init.applied(model, parts):
                        share = loss_of(batch) / settings.gradient_accumulation_steps
                        torch.autograd.backward(share * scale)
                    loss += share.detach()
                gradients = [v.grad for v in parts if v.grad is not None]
                for gradient in gradients:
                    gradient /= scale
                group.average([loss, *gradients])
                for rates in optimizer.param_groups:
                    rates["lr"] = dynamic_schedule.learning_rate
                optimizer.step()
                constrain(parts)
                step += 1
                average.add(before + step)
                curve.add(step, loss, parts, dynamic_schedule)
                if dvar is not None:
                    with torch.no_grad(), init.applied(model, parts):
                        dvar.add(loss_of(fixed.batch(0)))
            if settings.compile and compile_seconds is None:
                curve.check()  # waits for the device
                compile_seconds = time.monotonic() - started
                tqdm.write(f"The first step, with compilation, took {compile_seconds:.0f} s.")
            bar.update()

            last = step == settings.max_steps
            if evaluate_phi is not None and step % phi_every == 0:
                curve.check()
                now = ended_at()
                value = group.from_main(partial(evaluate_phi, now, step))
                curve.add_phi(value)
                ended = dynamic_schedule.observe(value.phi) is Action.END
            look = step % _CHECK_EVERY == 0
            if dvar is not None and look:
                # Processes whose losses differ by a rounding end at the same step all the same.
                ended = group.any(dvar.settled()) or ended
            # Several processes agree on stopping when they look, alone one stops at once.
            stopping = bool(received) if group.count == 1 else look and group.any(bool(received))
            keep = settings.checkpoint_every and step % settings.checkpoint_every == 0
            if keep or last or ended or stopping or look:
                curve.check()
            if checkpoint is not None and group.is_main and (keep or last or ended or stopping):
                state = state_of(
                    identity, step, ended, parts, optimizer, dynamic_schedule, dvar, curve, average
                )
                write_checkpoint(checkpoint, state)
            if stopping:
                break
    if stopping and step < settings.max_steps and not ended:
        _pass_on(step, checkpoint is not None)
    return TrainResult(
        embedding=ended_at(),
        curve=curve.rows,
        steps=step,
        image_steps=step * settings.batch_size * settings.gradient_accumulation_steps * group.count,
        stop_reason=_reason(dynamic_schedule, dvar)
        if ended
        else f"All {settings.max_steps} steps are done.",
        compile_seconds=compile_seconds,
    )


def _goes_on_from(
    checkpoint: CheckpointStore | None, identity: Mapping[str, str]
) -> Checkpoint | None:
    """The checkpoint, or None; why nothing goes on from one that is there is said."""
    if checkpoint is None:
        return None
    try:
        saved = read_checkpoint(checkpoint, identity)
    except DamagedCheckpointError as error:
        tqdm.write(str(error))
        return None
    said = left_behind(checkpoint, identity) if saved is None else None
    if said is not None:
        tqdm.write(said)
    return saved


def _phi_interval(settings: TrainSettings, images: int, processes: int) -> int:
    """Optimizer steps between two evaluations of φ."""
    if settings.phi_unit == "steps":
        return settings.phi_every
    a_step = settings.batch_size * settings.gradient_accumulation_steps * processes
    return max(1, math.ceil(settings.phi_every * images / a_step))


def _reason(dynamic_schedule: DynamicSchedule, dvar: Dvar | None) -> str:
    return dvar.reason if dvar is not None and dvar.reason else dynamic_schedule.reason


def _move(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """To the device without waiting for it."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _compiled(model: TextToImageModel) -> TextToImageModel:
    """The model with its UNet compiled; the first step then takes a minute or more."""
    return replace(model, unet=torch.compile(model.unet))


@contextmanager
def recomputed_activations(model: TextToImageModel, wanted: bool) -> Iterator[None]:
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


def _pass_on(step: int, saved: bool) -> None:
    """Hand a SIGTERM to whoever handled it before (by default: the process ends)."""
    signal.raise_signal(signal.SIGTERM)
    kept = "A checkpoint is kept: the same command goes on there." if saved else "Nothing is kept."
    raise TrainingError(f"Training was told to stop (SIGTERM) after step {step}. {kept}")
