"""A set as a trainer takes it: the original bytes, captions, masks, a configuration to start."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coti.core.checkout import find_file
from coti.core.errors import ConfigError, PoolError
from coti.core.file_rules import FileRefused, read_inside
from coti.core.whole_files import refuse_foreign, whole_folder
from coti.dataset.chosen_set import ChosenSet, suffix_of_format
from coti.dataset.datasheet import datasheet
from coti.dataset.trainers import TRAINERS
from coti.dataset.trainers.protocol import ExportedImage, Job, Trainer
from coti.pool.manifest import write_manifest
from coti.pool.open_source import open_source
from coti.pool.originals import Original, originals

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BASE_MODEL", "Exported", "export_set"]

BASE_MODEL = "stabilityai/stable-diffusion-xl-base-1.0"
"""What all of the trainers can train, and their configurations name."""
_LONGEST_TRIGGER = 100


@dataclass(frozen=True)
class Exported:
    """What was written."""

    images: int
    left_out: dict[str, int]
    """Images of a format that the trainer does not read, by format."""
    masks: int
    licenses: dict[str, int]
    """Images by what the pool says of their licence, the most frequent first."""
    start: str
    """What starts the training, typed in the folder."""


def export_set(
    chosen: ChosenSet,
    trainer: str,
    folder: Path,
    *,
    trigger: str = "",
    base_model: str = BASE_MODEL,
    resolution: int = 1024,
    pool: str | None = None,
    cache: Path | None = None,
) -> Exported:
    """Write a set into a new folder for a trainer; whole or not at all.

    Args:
        chosen: with its images, or without: then they are read from its pool, each checked by its
            hash.
        trainer: a name of :data:`coti.dataset.trainers.TRAINERS`.
        folder: must not exist yet, or be empty.
        trigger: the word that shall stand for the concept.
        base_model: SDXL's, for the configuration.
        resolution: pixels a side that is trained at.
        pool: where the pool lies by now, if it has been moved.
        cache: folder that keeps what is fetched again.

    Raises:
        ConfigError: there is no such trainer, or the trigger is no word.
        PoolError: nothing was chosen, or an image is gone or has changed since.
        StoreError: the folder holds something already.
    """
    layout = TRAINERS.get(trainer)()
    refuse_foreign(folder, replace=False)
    _require_word(trigger)
    rows = chosen.chosen
    read = rows["format"].isin(list(layout.formats))
    left_out = {str(kind): int(n) for kind, n in rows["format"][~read].value_counts().items()}
    rows = rows[read]
    if not len(rows):
        kinds = f": {', '.join(left_out)} is nothing that it reads" if left_out else ""
        raise PoolError(f"The set has no image for {layout.label}{kinds}; nothing is written.")
    placed = {str(row["source"]): row for row in rows.to_dict("records")}
    with whole_folder(folder) as part:
        images = [
            _image(part, layout, placed[each.name], each)
            for each in _bytes_of(chosen, rows, pool, cache)
        ]
        job = Job(
            chosen.concept,
            trigger,
            _file_name(chosen.concept),
            base_model,
            resolution,
            tuple(sorted(images, key=lambda image: image.stem)),
        )
        layout.write(part, job)
        files = {image.stem: image for image in job.images}
        stems = [f"{int(order):04d}" for order in rows["order"]]
        table = rows.assign(
            image=[files[stem].file for stem in stems],
            mask_image=[files[stem].mask for stem in stems],
        )
        licenses = rows["license"].replace("", "not stated").value_counts()
        exported = Exported(
            len(images),
            left_out,
            sum(bool(image.mask) for image in images),
            {str(name): int(number) for name, number in licenses.items()},
            layout.start(job),
        )
        page = datasheet(chosen, table, job, layout.label, left_out, exported.start)
        (part / "DATASHEET.md").write_text(page, encoding="utf-8")
        write_manifest(table, part / "manifest.parquet")
    return exported


def _image(part: Path, layout: Trainer, row: dict[Any, Any], found: Original) -> ExportedImage:
    """Write an image and its mask to where the trainer looks for them."""
    stem = f"{int(row['order']):04d}"
    file = layout.image_file(stem, suffix_of_format(str(row["format"])))
    mask = ""
    _write(part / file, found.data)
    if found.mask is not None:
        mask = layout.mask_file(stem, Path(str(row["mask"])).suffix.lower())
        if mask:
            _write(part / mask, found.mask)
    caption = " ".join(str(row["caption"]).split())
    return ExportedImage(stem, file, int(row["width"]), int(row["height"]), caption, mask)


def _bytes_of(
    chosen: ChosenSet, rows: pd.DataFrame, pool: str | None, cache: Path | None
) -> Iterator[Original]:
    """Each row's bytes: of the set's folder where they are there, of the pool otherwise."""
    left: list[str] = []
    for row in rows.to_dict("records"):
        found = _kept(chosen, row)
        if found is None:
            left.append(str(row["source"]))
        else:
            yield found
    if not left:
        return
    place = pool or chosen.pool
    if not place:
        raise PoolError(
            f"{left[0]} is gone from the set, or has changed, and its pool was no place "
            "to read it from again: curate again; nothing is written."
        )
    source = open_source(find_file(place), chosen.rules, cache_dir=cache)
    yield from originals(source, rows[rows["source"].isin(left)])


def _kept(chosen: ChosenSet, row: dict[Any, Any]) -> Original | None:
    """What the set's folder has of a row, if it is what was chosen."""
    if chosen.folder is None or not row["image"]:
        return None
    with suppress(FileRefused):
        data = read_inside(chosen.folder, str(row["image"]), chosen.rules.max_bytes)
        mask = None
        if row["mask_image"]:
            mask = read_inside(chosen.folder, str(row["mask_image"]), chosen.rules.max_bytes)
        if hashlib.sha256(data).hexdigest() == row["sha256"]:
            return Original(str(row["source"]), data, mask)
    return None


def _require_word(trigger: str) -> None:
    plain = trigger.isprintable() and trigger == trigger.strip() and not set(trigger) & set('"\\[]')
    if not plain or len(trigger) > _LONGEST_TRIGGER:
        raise ConfigError(
            f"trigger {trigger[:_LONGEST_TRIGGER]!r} is no word: letters, digits and signs but "
            f'" \\ [ ], at most {_LONGEST_TRIGGER}.'
        )


def _file_name(concept: str) -> str:
    """A concept's name as all trainers and systems take it for a file's.

    >>> _file_name("Emperor penguin, chick")
    'emperor_penguin_chick'
    """
    return re.sub(r"\W+", "_", concept.lower()).strip("_")[:60] or "concept"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
