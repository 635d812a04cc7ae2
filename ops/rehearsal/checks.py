"""What can be said against a run in seconds, before anything of it is loaded: all of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from coti.core.errors import CotiError
from coti.inversion.families.registry import architectures
from coti.metrics.ground_truth import read_ground_truth
from coti.settings import RunSettings
from ops.preconditions import require_experiments
from ops.rehearsal.counts import Sizes
from ops.rehearsal.handful import count_images, count_inputs
from ops.rehearsal.named_weights import named_weights
from ops.stack.check_stack import check_stack
from ops.stack.input_hashes import fingerprint_optional
from ops.stack.locations import locate, require_run_folder
from ops.stack.review_inputs import review_of

__all__ = ["Checked", "check_inputs", "check_place"]

_INCEPTION = 2048


@dataclass
class Checked:
    """What was found."""

    problems: list[str] = field(default_factory=list)
    """Why the run would fail, a sentence each with key and remedy."""
    notes: list[str] = field(default_factory=list)
    """What it will lack, likewise."""
    unchecked: list[str] = field(default_factory=list)
    """What nobody looked at."""
    sizes: Sizes = field(default_factory=lambda: Sizes(0, 0, 0, 0))

    @contextmanager
    def under(self, key: str) -> Iterator[None]:
        """What is raised inside is a problem of this key's; what follows is looked at, too."""
        try:
            yield
        except (CotiError, OSError) as error:
            said = str(error)
            self.problems.append(said if said.startswith(key) else f"{key}: {said}")


def check_inputs(settings: RunSettings, weights: bool = True) -> Checked:
    """Images, captions and files that the settings name, and the counts that they come to.

    Args:
        settings: of a run file.
        weights: whether those of the models are looked at, too.
    """
    found = Checked()
    inputs = references = seeds = 0
    with found.under("pool"):
        inputs, captioned = count_inputs(settings.pool, settings.pool_rules)
        if not inputs:
            found.problems.append(f"pool: {settings.pool} holds nothing: give a pool of images.")
        elif captioned == 0 and settings.train.captions != "templates":
            found.notes.append(
                f"train.captions is {settings.train.captions}, and none of the {inputs} inputs has "
                "a caption: give captions beside the images, or set it to templates."
            )
    with found.under("seeds"):
        seeds = count_images(settings.seeds)
        if seeds < 2:
            found.problems.append(
                f"seeds: {settings.seeds} holds {seeds} image; at least 2 are needed, about ten "
                "work well."
            )
    with found.under("references"):
        references = count_images(settings.references)
    for number, folder in enumerate(settings.aesthetic.negatives):
        with found.under(f"aesthetic.negatives[{number}]"):
            count_images(folder)
    with found.under("ground_truth"):
        if settings.ground_truth is not None:
            read_ground_truth(Path(locate(settings.ground_truth)), settings.concept)
    own = settings.aesthetic
    for key, name in (("ratings", own.ratings), ("user_ratings", own.user_ratings)):
        with found.under(f"aesthetic.{key}"):
            fingerprint_optional(f"aesthetic.{key}", name)
    with found.under("selection.review"):
        review_of(settings)
    if weights:
        _check_weights(settings, found)
    found.sizes = Sizes(inputs, 0, references, seeds)
    _check_counts(settings, found)
    if own.user_ratings is not None:
        found.unchecked.append(
            "aesthetic.user_ratings: the images that it rates are not all among the handful; the "
            "rehearsal went without."
        )
    if settings.selection.review is not None:
        found.unchecked.append(
            "selection.review: the images that it names are not all among the handful; the "
            "rehearsal went without."
        )
    return found


def check_place(settings: RunSettings) -> Checked:
    """The active stack, the registry and the folder for outputs: where the run would write."""
    found = Checked()
    with found.under("output"):
        require_run_folder(settings.output, "rehearsal")
    findings = list(check_stack())
    broken = [each for each in findings if each.state == "FAIL"]
    found.problems += [f"stack: {each.what}: {each.said}" for each in broken]
    if not any(each.what.startswith("ZenML store") for each in broken):
        with found.under("stack"):
            require_experiments([settings.concept])
    if any("kubernetes" in each.what or "kubeflow" in each.what for each in findings):
        found.unchecked.append(
            "The cluster's own nodes: times and memory are this machine's; `coti rehearse` in a "
            "pod of the node pool says theirs."
        )
    return found


def _check_weights(settings: RunSettings, found: Checked) -> None:
    """Each model by itself: there, or to be had, and the pinned one."""
    for weights in named_weights(settings):
        with found.under(weights.key):
            weights.look()
    for key, name in (("model.config", settings.model.config),):
        if name is not None and name not in architectures():
            with found.under(key):
                fingerprint_optional(key, name)


def _check_counts(settings: RunSettings, found: Checked) -> None:
    """Metrics and the gate want as many images as they need."""
    evaluation, generated = settings.evaluation, settings.generation.cycle_images
    references = found.sizes.references
    if settings.references is None:
        found.notes.append(
            "references are missing: every distance to held-out images is left out, and the gate "
            "promotes nothing by itself; give references, a folder of 2,048 or more where FID is "
            "wanted."
        )
    elif evaluation.inception is not None and min(generated, references) < _INCEPTION:
        found.notes.append(
            f"evaluation.inception: FID will be missing, it needs {_INCEPTION} images on both "
            f"sides, there are {references} references and {generated} generations "
            "(generation.cycle_images)."
        )
    least = settings.promotion.min_samples
    if settings.references is not None and min(generated, references) < least:
        found.notes.append(
            f"promotion.min_samples is {least}: with {references} references and {generated} "
            "generations (generation.cycle_images) the gate promotes nothing by itself."
        )
    if len(evaluation.captions) + evaluation.imagenet_captions == 0:
        found.notes.append(
            "evaluation.captions are missing: R-precision is left out, and the gate promotes "
            "nothing by itself; name look-alikes there, or set evaluation.imagenet_captions."
        )
