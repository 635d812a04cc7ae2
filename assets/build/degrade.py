"""Graded degradations: a good image in, a worse one of known severity out.

Severity 0 is the image itself; 1 is barely visible and 5 leaves little to learn from.
Pools use 3 to 5, the ratings of the aesthetic head use all of them. Everything is drawn from
the generator that is passed in, so the same generator state gives the same bytes.

Three families, for three recipes of pools: ``DEGRADATIONS`` (the default recipe; the scorer and the
aesthetic head are trained with them), ``ALTERATIONS`` (the alternate recipe) and ``FAULTS`` (the
third); nothing is ever trained or tuned on the last two.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

PILImage = npt.NDArray[np.uint8]
"""uint8 [h, w] grey or [h, w, 3] RGB, 0 to 255."""

MAX_SEVERITY = 5

_BLUR_SIGMA = (0.5, 0.8, 1.2, 1.8, 2.6)  # standard deviation in pixels, for a 32-pixel image
_LOW_RESOLUTION_SIDE = (0.7, 0.5, 0.36, 0.26, 0.18)  # side that is left, as part of the side
_NOISE_SIGMA = (10, 20, 35, 55, 80)  # standard deviation in grey levels
_OCCLUSION_SIDE = (0.2, 0.32, 0.44, 0.54, 0.66)  # side of the box, as part of the side
_TEXT_LETTERS = (2, 4, 7, 10, 14)  # letters written over a 32-pixel image
_CONTRAST = (0.7, 0.5, 0.33, 0.2, 0.11)  # what is left of the contrast
_JPEG_QUALITY = (40, 22, 12, 6, 1)
_WATERMARK_ALPHA = (0.15, 0.25, 0.45, 0.6, 0.8)  # how opaque the marks are
_INVERSION = (0.15, 0.3, 0.8, 0.9, 1.0)  # 0 is the image, 1 its negative
_SCREENSHOT_SCALE = (0.9, 0.8, 0.65, 0.55, 0.45)  # side of the image inside the screenshot

_MOTION = (2, 4, 6, 9, 12)  # pixels that a 32-pixel image is moved while it is taken
_GREYS = (8, 5, 4, 3, 2)  # grey levels that are left
_GLARE = (0.25, 0.4, 0.6, 0.8, 1.0)  # brightness of the light's middle, as part of white
_SCANLINES = (0.15, 0.3, 0.5, 0.7, 0.9)  # how dark every third line is
_TEAR = (1, 3, 6, 9, 13)  # most pixels that a strip of rows is out of place
_STRETCH = (0.85, 0.7, 0.55, 0.45, 0.35)  # height or width that is left
_CREASE = (0.1, 0.2, 0.35, 0.55, 0.75)  # how much of the image a crumpled fold takes away

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%!$"


def _blur(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    radius = _BLUR_SIGMA[severity - 1] * image.shape[0] / 32
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _low_resolution(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    height, width = image.shape[:2]
    part = _LOW_RESOLUTION_SIDE[severity - 1]
    small = Image.fromarray(image).resize(
        (max(1, round(width * part)), max(1, round(height * part))), Image.Resampling.BOX
    )
    back = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR)[int(rng.integers(2))]
    return np.asarray(small.resize((width, height), back))


def _noise(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    grain = rng.normal(0.0, _NOISE_SIGMA[severity - 1], image.shape[:2])
    return _to_uint8(image + (grain[..., None] if image.ndim == 3 else grain))


def _occlusion(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    height, width = image.shape[:2]
    part = _OCCLUSION_SIDE[severity - 1]
    box_height = max(1, round(height * part * rng.uniform(0.85, 1.15)))
    box_width = max(1, round(width * part * rng.uniform(0.85, 1.15)))
    # The middle of the box lies in the middle half, so that it hides the thing, not the margin.
    top = round(height * rng.uniform(0.3, 0.7) - box_height / 2)
    left = round(width * rng.uniform(0.3, 0.7) - box_width / 2)
    rows = slice(max(0, top), max(0, top) + box_height)
    columns = slice(max(0, left), max(0, left) + box_width)
    out = image.copy()
    out[rows, columns] = rng.integers(50, 256)
    return out


def _text(pil_image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    height, width = pil_image.shape[:2]
    image = Image.fromarray(pil_image)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default_imagefont()
    letters = round(_TEXT_LETTERS[severity - 1] * (height * width) / (32 * 32))
    a_line = max(2, (width - 2) // 6)  # a letter of the built-in font is 6 by 11 pixels
    lines = -(-letters // a_line)
    first = rng.uniform(0, max(1, height - 10 * lines))
    ink = int(rng.integers(170, 256))  # light, since most of an image of the world is dark
    for line in range(lines):
        count = min(a_line, letters - line * a_line)
        words = "".join(rng.choice(list(_LETTERS), count))
        at = (rng.uniform(0, max(1, width - 6 * count)), first + 10 * line)
        draw.text(at, words, font=font, fill=ink if pil_image.ndim == 2 else (ink,) * 3)
    return np.asarray(image)


def _low_contrast(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    level = rng.uniform(50, 190)
    return _to_uint8(level + _CONTRAST[severity - 1] * (image.astype(np.float64) - level))


def _jpeg(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=_JPEG_QUALITY[severity - 1])
    return np.asarray(Image.open(file))


def _watermark(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    height, width = image.shape[:2]
    mark = Image.new("L", (2 * width, 2 * height), 0)
    draw = ImageDraw.Draw(mark)
    font = ImageFont.load_default_imagefont()
    words = "".join(rng.choice(list(_LETTERS), 5)) + " "
    for row in range(0, 2 * height, 13):
        draw.text((-6 * (row // 13 % 5), row), words * (width // 12 + 2), font=font, fill=255)
    mark = mark.rotate(30, Image.Resampling.BILINEAR)
    mark = mark.crop((width // 2, height // 2, width // 2 + width, height // 2 + height))
    alpha = np.asarray(mark).astype(np.float64) / 255 * _WATERMARK_ALPHA[severity - 1]
    if image.ndim == 3:
        alpha = alpha[..., None]
    ink = float(rng.choice([160, 255]))
    return _to_uint8(image * (1 - alpha) + ink * alpha)


def _inverted(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    part = _INVERSION[severity - 1]
    return _to_uint8(image * (1 - part) + (255.0 - image) * part)


def _screenshot(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    height, width = image.shape[:2]
    part = _SCREENSHOT_SCALE[severity - 1]
    inner = (max(1, round(width * part)), max(1, round(height * part)))
    page = Image.new("L", (width, height), int(rng.choice([30, 200, 240])))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, width, max(1, height // 8)), fill=int(rng.choice([70, 120])))
    for button in range(3):
        draw.point((width - 3 - 3 * button, height // 16), fill=255)
    for line in range(height - 3, height - 3 - 2 * severity, -2):
        draw.line((2, line, int(rng.uniform(0.3, 0.95) * width), line), fill=110)
    if image.ndim == 3:
        page = page.convert("RGB")
    thing = Image.fromarray(image).resize(inner, Image.Resampling.BOX)
    left = int(rng.integers(0, width - inner[0] + 1))
    top = min(height // 8 + 1, height - inner[1])
    page.paste(thing, (left, top))
    return np.asarray(page)


def _motion_blur(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    length = max(2, round(_MOTION[severity - 1] * image.shape[0] / 32))
    axis = int(rng.integers(2))
    steps = range(-(length // 2), length - length // 2)
    return _to_uint8(np.mean([np.roll(image, step, axis) for step in steps], axis=0))


def _posterized(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    levels = _GREYS[severity - 1] - 1
    offset = rng.uniform(-0.2, 0.2)
    kept = np.clip(np.rint(image / 255.0 * levels + offset), 0, levels)
    return _to_uint8(kept * 255.0 / levels)


def _glare(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    height, width = image.shape[:2]
    down, across = np.mgrid[0:height, 0:width]
    top, left = rng.uniform(0.15, 0.85, 2) * (height, width)
    radius = rng.uniform(0.25, 0.45) * height
    light = np.exp(-((down - top) ** 2 + (across - left) ** 2) / (2 * radius**2))
    light *= 255.0 * _GLARE[severity - 1]
    return _to_uint8(image + (light[..., None] if image.ndim == 3 else light))


def _scanlines(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    worse = image.astype(np.float64)
    lines = worse[int(rng.integers(3)) :: 3]
    level = float(rng.choice([0, 140]))
    lines += _SCANLINES[severity - 1] * (level - lines)
    return _to_uint8(worse)


def _torn(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    height, most = image.shape[0], _TEAR[severity - 1]
    worse, row = image.copy(), 0
    while row < height:
        end = row + int(rng.integers(2, 8))
        move = int(rng.integers(-most, most + 1))
        worse[row:end] = np.roll(image[row:end], move, axis=1)
        row = end
    return worse


def _stretched(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    height, width = image.shape[:2]
    size = [width, height]
    side = int(rng.integers(2))
    size[side] = max(1, round(size[side] * _STRETCH[severity - 1]))
    page = Image.new("L" if image.ndim == 2 else "RGB", (width, height))
    thing = Image.fromarray(image).resize((size[0], size[1]), Image.Resampling.BILINEAR)
    place = [0, 0]
    place[side] = int(rng.integers((width, height)[side] - size[side] + 1))
    page.paste(thing, (place[0], place[1]))
    return np.asarray(page)


def _creased(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    height, width = image.shape[:2]
    down, across = np.mgrid[0:height, 0:width]
    worse = image.astype(np.float64)
    for _ in range(3):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3) * height
        away = np.cos(angle) * (down - height / 2) + np.sin(angle) * (across - width / 2) - offset
        fold = _CREASE[severity - 1] * np.exp(-((away / (0.06 * height)) ** 2))
        fold = fold[..., None] if image.ndim == 3 else fold
        worse = worse * (1 - fold) + 255.0 * fold
    return _to_uint8(worse)


def collage(images: Sequence[PILImage]) -> PILImage:
    """Four images of one shape, each at half its side, as one image of that shape."""
    if len(images) != 4 or len({image.shape for image in images}) != 1:
        shapes = [image.shape for image in images]
        raise ValueError(f"a collage takes four images of one shape, got {shapes}")
    height, width = images[0].shape[:2]
    page = Image.fromarray(np.zeros_like(images[0]))
    cell = (width - width // 2, height - height // 2)
    for place, image in enumerate(images):
        half = Image.fromarray(image).resize(cell, Image.Resampling.BOX)
        page.paste(half, (place % 2 * (width // 2), place // 2 * (height // 2)))
    return np.asarray(page)


def _collage(image: PILImage, severity: int, rng: np.random.Generator) -> PILImage:
    """Four views of one image: as it is and mirrored (`collage` takes four of your own)."""
    views = [image, np.ascontiguousarray(image[:, ::-1])]
    return collage([views[int(rng.integers(2))] for _ in range(4)])


def _to_uint8(values: npt.NDArray[np.float64]) -> PILImage:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


_Degradation = Callable[[PILImage, int, np.random.Generator], PILImage]

_FUNCTIONS: dict[str, _Degradation] = {
    "blur": _blur,
    "low_resolution": _low_resolution,
    "noise": _noise,
    "occlusion": _occlusion,
    "text": _text,
    "low_contrast": _low_contrast,
    "jpeg": _jpeg,
    "watermark": _watermark,
    "inverted": _inverted,
    "collage": _collage,
    "screenshot": _screenshot,
    "motion_blur": _motion_blur,
    "posterized": _posterized,
    "glare": _glare,
    "scanlines": _scanlines,
    "torn": _torn,
    "stretched": _stretched,
    "creased": _creased,
}

DEGRADATIONS = ("blur", "low_resolution", "noise", "occlusion", "text", "low_contrast", "jpeg")
"""Kinds of the default recipe, which scorer and aesthetic head know."""

ALTERATIONS = ("watermark", "inverted", "collage", "screenshot")
"""Kinds of the alternate recipe, which nothing is trained on."""

FAULTS = ("motion_blur", "posterized", "glare", "scanlines", "torn", "stretched", "creased")
"""Kinds of the third recipe: of cameras, screens and paper; nothing is trained on them, either."""


def degrade(image: PILImage, kind: str, severity: int, rng: np.random.Generator) -> PILImage:
    """A worse copy of an image.

    Args:
        image: uint8 [h, w] grey or [h, w, 3] RGB; not changed.
        kind: one of ``DEGRADATIONS``, ``ALTERATIONS`` or ``FAULTS``.
        severity: 0 (a plain copy) to 5; a collage has one strength only.
        rng: where everything random comes from.

    Returns:
        uint8 of the same shape.

    Raises:
        ValueError: unknown kind, severity out of range, or not a uint8 image.
    """
    if kind not in _FUNCTIONS:
        raise ValueError(f"kind must be one of {', '.join(_FUNCTIONS)}, got {kind!r}")
    if not 0 <= severity <= MAX_SEVERITY:
        raise ValueError(f"severity must be from 0 to {MAX_SEVERITY}, got {severity}")
    if image.dtype != np.uint8 or not (
        image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    ):
        raise ValueError(
            f"image must be uint8 [h, w] or [h, w, 3], got {image.dtype} {image.shape}"
        )
    if severity == 0:
        return image.copy()
    return np.ascontiguousarray(_FUNCTIONS[kind](image, severity, rng))
