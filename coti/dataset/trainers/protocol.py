"""What a trainer of other people's takes: where its images lie, and what is written beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

__all__ = ["ExportedImage", "Job", "Trainer"]


@dataclass(frozen=True)
class ExportedImage:
    """An image that lies in the folder already."""

    stem: str
    """Its name without the suffix, the best first: ``0001``."""
    file: str
    """In the folder."""
    width: int
    """Pixels, upright."""
    height: int
    caption: str = ""
    """As the pool has it, in one line."""
    mask: str = ""
    """File of its mask in the folder, where it has one."""


@dataclass(frozen=True)
class Job:
    """What is to be trained."""

    concept: str
    trigger: str
    """The word that shall stand for it; empty where there is none."""
    name: str
    """The concept's name as a file may be called."""
    base_model: str
    """SDXL's by a name of the Hugging Face hub, a folder or a file."""
    resolution: int
    """Pixels of a square of the area that is trained on."""
    images: tuple[ExportedImage, ...]

    @property
    def words(self) -> str:
        """The trigger and what it is: what stands for an image that nobody described."""
        return f"{self.trigger} {self.concept}".strip()

    @property
    def steps(self) -> int:
        """Optimizer steps to begin with: ten looks at each image, 1,000 to 4,000."""
        return min(4_000, max(1_000, 10 * len(self.images)))

    @property
    def masked(self) -> bool:
        """Whether an image has a mask."""
        return any(image.mask for image in self.images)

    @property
    def all_masked(self) -> bool:
        """Whether every image has one, as some trainers want it."""
        return bool(self.images) and all(image.mask for image in self.images)


class Trainer(Protocol):
    """A trainer's layout; stateless."""

    label: ClassVar[str]
    """What people call it."""
    formats: ClassVar[frozenset[str]]
    """Formats of files that it reads, by Pillow's names."""

    def image_file(self, stem: str, suffix: str) -> str:
        """Where an image lies in the folder."""
        ...

    def mask_file(self, stem: str, suffix: str) -> str:
        """Where its mask lies; empty where the trainer takes none."""
        ...

    def write(self, folder: Path, job: Job) -> None:
        """Captions and configuration beside the images, which lie in the folder already."""
        ...

    def start(self, job: Job) -> str:
        """What starts the training, typed in the folder."""
        ...
