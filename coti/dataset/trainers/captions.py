"""Captions with the trigger word in them, as text files beside the images or in one line each."""

from __future__ import annotations

import re
from pathlib import Path

from coti.dataset.trainers.protocol import ExportedImage, Job

__all__ = ["described", "with_trigger", "write_texts"]


def with_trigger(caption: str, trigger: str) -> str:
    """The caption with the trigger word before it, unless it has it.

    >>> with_trigger("a boot on grass", "bxt"), with_trigger("A BXT boot", "bxt")
    ('bxt, a boot on grass', 'A BXT boot')
    """
    if not trigger or _word(trigger).search(caption):
        return caption
    return f"{trigger}, {caption}" if caption else trigger


def _word(trigger: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(trigger)}(?!\w)", re.IGNORECASE)


def described(image: ExportedImage, job: Job, trigger: str | None = None) -> str:
    """What an image is said to show: its caption with the trigger, or trigger and concept.

    ``trigger``: what stands for the word in the text, the word itself unless given.
    """
    word = job.trigger if trigger is None else trigger
    if image.caption and word != job.trigger and _word(job.trigger).search(image.caption):
        return _word(job.trigger).sub(lambda _: word, image.caption)
    if image.caption:
        return with_trigger(image.caption, word)
    return f"{word} {job.concept}".strip()


def write_texts(folder: Path, job: Job, trigger: str | None = None) -> None:
    """A text file beside each image, of its stem, with :func:`described` in it."""
    for image in job.images:
        path = (folder / image.file).with_suffix(".txt")
        path.write_text(described(image, job, trigger) + "\n", encoding="utf-8")
