"""Every model that a run's settings name, and whether its weights are there or can be had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coti.core.errors import ModelError
from coti.core.weights import check_hash, local_weights
from coti.settings import RunSettings
from ops.stack.locations import locate

__all__ = ["NamedWeights", "named_weights"]


@dataclass(frozen=True)
class NamedWeights:
    """A model, as the settings name it."""

    key: str
    """Of the run file."""
    name: str
    """A folder, a file, an address, a hub's id, or a library's name."""
    kind: str
    """``base``, ``open_clip``, ``timm``, ``inception``, ``head`` or ``captioner``."""
    pretrained: str | None = None
    """Where ``name`` is a library's: a file of weights, or their tag."""
    sha256: str | None = None
    revision: str | None = None

    @property
    def here(self) -> Path | None:
        """The folder or file itself, where it is one of this machine."""
        path = Path(locate(self.name))
        return path if path.exists() else None

    @property
    def pretrained_here(self) -> bool:
        """Whether the weights of a library's model are a file of this machine."""
        return self.pretrained is not None and Path(locate(self.pretrained)).is_file()

    def look(self) -> None:
        """Find the weights, and fetch what a run would fetch by its address.

        Raises:
            ModelError: they are neither here nor to be had, or not the pinned ones.
        """
        if self.here is not None or "://" in self.name or self.kind in ("inception", "head"):
            found = local_weights(locate(self.name), None if self.here else self.sha256)
            if self.here is not None and self.sha256 is not None:
                check_hash(found, self.sha256, self.name)
        elif self.kind == "base":
            _on_the_hub(self.name, "model_index.json", self.revision)
        elif self.kind == "captioner":
            _on_the_hub(self.name, "config.json", None)
        else:
            self._look_at_library()

    def _look_at_library(self) -> None:
        given = self.pretrained
        if self.name.startswith("hf-hub:"):
            _on_the_hub(self.name.removeprefix("hf-hub:"), "open_clip_config.json", None)
            return
        if given is None or "://" in given or Path(locate(given)).exists():
            if given is not None:
                local_weights(locate(given), self.sha256)
            return  # the library says what a name without weights is
        if self.kind != "open_clip":
            raise ModelError(f"{given} does not exist: check the path, or fetch the weights first.")
        from open_clip.pretrained import get_pretrained_cfg

        known = get_pretrained_cfg(self.name, given)
        if not known:
            raise ModelError(
                f"open_clip knows no weights {given!r} of {self.name!r}: take one of its tags, or "
                "a file."
            )
        hub = str(known.get("hf_hub") or "").rstrip("/")
        if hub.count("/") == 1:
            _on_the_hub(hub, "open_clip_config.json", None)


def named_weights(settings: RunSettings) -> Iterator[NamedWeights]:
    """All of a run's, in the order in which it needs them."""
    model, scorer, own = settings.model, settings.scorer, settings.concept_score
    judges = settings.evaluation
    yield NamedWeights(
        "model.base_model", model.base_model, "base", None, model.sha256, model.revision
    )
    yield NamedWeights("scorer.model", scorer.model, "open_clip", scorer.pretrained, scorer.sha256)
    if settings.aesthetic.head is not None:
        yield NamedWeights(
            "aesthetic.head", settings.aesthetic.head, "head",
            sha256=settings.aesthetic.head_sha256,
        )  # fmt: skip
    if own.model is not None:
        yield NamedWeights(
            "concept_score.model", own.model, "open_clip", own.pretrained, own.sha256
        )
    yield NamedWeights(
        "evaluation.judge", judges.judge, "open_clip", judges.judge_pretrained,
        judges.judge_sha256,
    )  # fmt: skip
    if judges.inception is not None:
        yield NamedWeights(
            "evaluation.inception", judges.inception, "inception", None, judges.inception_sha256
        )
    if judges.ssl_judge is not None:
        yield NamedWeights(
            "evaluation.ssl_judge", judges.ssl_judge, "timm", judges.ssl_judge_pretrained,
            judges.ssl_judge_sha256,
        )  # fmt: skip
    captioner = settings.captioner
    if settings.captions == "auto" and captioner.model is not None:
        yield NamedWeights("captioner.model", captioner.model, "captioner", sha256=captioner.sha256)


def _on_the_hub(repository: str, file: str, revision: str | None) -> None:
    """Whether a repository is in the hub's cache, or there; one small file says it.

    Raises:
        ModelError: neither.
    """
    import huggingface_hub

    try:
        huggingface_hub.hf_hub_download(repository, file, revision=revision)
    except Exception as error:  # the client lets its HTTP library's errors through
        raise ModelError(
            f"{repository} is no folder here, and neither cached nor to be had from the hub "
            f"({type(error).__name__}): check the path, its name, your access to it and the "
            "network, or give a local copy."
        ) from error
