"""Images between tensors, Pillow, PNG bytes and sheets that a person looks at.

A batch of images is a uint8 tensor ``[n, 3, h, w]``, 0 to 255, RGB.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor

from coti.core.errors import PoolError

__all__ = [
    "IMAGE_FORMATS",
    "contact_sheet",
    "encode_png",
    "from_pil",
    "read_image",
    "read_image_folder",
    "tile",
    "to_pil",
]

IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Formats of Pillow that are read; every other decoder stays out of a stranger's reach."""

_SIDE_FILES = {".csv", ".json", ".jsonl", ".md", ".parquet", ".tsv", ".txt", ".yaml", ".yml"}
_SYSTEM_FILES = {"desktop.ini", "thumbs.db"}
_INK, _PALE_INK, _PAPER = (28, 28, 30), (96, 96, 100), (255, 255, 255)


def to_pil(images: Tensor) -> list[Image.Image]:
    """Pillow RGB images of a uint8 batch ``[n, 3, h, w]``.

    Raises:
        ValueError: ``images`` has another shape or type.
    """
    _check(images)
    return [Image.fromarray(pixels) for pixels in images.permute(0, 2, 3, 1).cpu().numpy()]


def from_pil(images: Sequence[Image.Image], size: int | tuple[int, int]) -> Tensor:
    """A uint8 batch ``[n, 3, height, width]`` of Pillow images of any mode and shape.

    Each is turned upright by its EXIF tag, laid on white where it is transparent, scaled so that
    it just covers ``size`` (a side, or height and width, in pixels), and cut at the centre.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"size is {size}: at least 1 pixel a side.")
    batch = torch.empty((len(images), 3, height, width), dtype=torch.uint8)
    for row, image in zip(batch, images, strict=True):
        upright = _to_rgb(ImageOps.exif_transpose(image))
        fitted = ImageOps.fit(upright, (width, height), Image.Resampling.BICUBIC)
        row.copy_(torch.from_numpy(np.array(fitted)).permute(2, 0, 1))
    return batch


def encode_png(image: Tensor | Image.Image) -> bytes:
    """One pil_image, a uint8 tensor ``[3, h, w]`` or Pillow's, as PNG bytes without metadata."""
    pil_image = to_pil(image[None])[0] if isinstance(image, Tensor) else _to_rgb(image)
    clean = Image.new("RGB", pil_image.size)
    clean.paste(pil_image)
    buffer = io.BytesIO()
    clean.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def read_image(source: Path | bytes, *, max_pixels: int = 50_000_000) -> Image.Image:
    """Decode an image file, or its bytes, to upright RGB; of an animation the first frame.

    Raises:
        PoolError: it is none of :data:`IMAGE_FORMATS`, damaged, or of more than ``max_pixels``
            pixels; the message names the file.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            stream = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(stream, formats=IMAGE_FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise Image.DecompressionBombError(
                        f"{image.width}x{image.height} is more than {max_pixels} pixels"
                    )
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # decoders raise nearly anything on a damaged file
        reason = str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "in none of the formats " + ", ".join(IMAGE_FORMATS)
        raise PoolError(
            f"{name} cannot be read as an image ({reason}): replace it or take it out."
        ) from error


def read_image_folder(path: str | Path, resolution: int) -> tuple[list[str], Tensor]:
    """Names, sorted, and images ``[n, 3, resolution, resolution]`` uint8 of a folder.

    Made for seeds and references, which must all be good: hidden files, subfolders and side files
    (captions, tables) are passed over, any other file that is no image is an error. Images
    are fitted as in :func:`from_pil`.

    Raises:
        PoolError: there is no such folder, it holds no image, or a file in it is none.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise PoolError(f"{folder} is no folder: give the path of a folder of images.")
    files = sorted(
        (
            file
            for file in folder.iterdir()
            if file.is_file()
            and not file.name.startswith(".")
            and file.name.lower() not in _SYSTEM_FILES
            and file.suffix.lower() not in _SIDE_FILES
        ),
        key=lambda file: file.name,
    )
    if not files:
        raise PoolError(f"{folder} holds no image: put at least one PNG, JPEG or WebP into it.")
    batches = [from_pil([read_image(file)], resolution) for file in files]
    return [file.name for file in files], torch.cat(batches)


def tile(
    images: Tensor, columns: int = 8, *, gap: int = 1, scale: int = 1
) -> npt.NDArray[np.uint8]:
    """A grid of the images ``[n, 3, h, w]``, row by row, uint8 ``[height, width, 3]``.

    ``gap`` white pixels lie between images; each is enlarged ``scale`` times, pixel by pixel.
    Empty places are white. The array is what ``mlflow.log_image`` takes.
    """
    _check(images)
    if len(images) == 0 or columns < 1 or scale < 1 or gap < 0:
        raise ValueError(
            f"tile needs an image, a column, a scale of 1 or more and a gap of 0 or more, got "
            f"{len(images)} images, columns={columns}, scale={scale}, gap={gap}."
        )
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    pixels = images.permute(0, 2, 3, 1).cpu().numpy().repeat(scale, 1).repeat(scale, 2)
    height, width = pixels.shape[1:3]
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    grid = np.full(shape, 255, dtype=np.uint8)
    for index, image in enumerate(pixels):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def contact_sheet(
    images: Tensor,
    *,
    columns: int = 8,
    captions: Sequence[str] | None = None,
    cell: int = 96,
    title: str | None = None,
) -> Image.Image:
    """Images ``[n, 3, h, w]`` in a grid of ``cell`` pixel squares, captions below each.

    Small images are enlarged by a whole factor, pixel by pixel, so that they can be seen; large
    ones are scaled down. A caption may have several lines; a line that is too long is cut. The
    font is the one that Pillow ships. No image at all gives a sheet that says so.

    Raises:
        ValueError: the shape is another, or there are not as many captions as images.
    """
    _check(images)
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(images)} images need as many captions, got {len(captions)}.")
    if columns < 1 or cell < 16:
        raise ValueError(f"columns={columns} and cell={cell}: at least 1 and 16.")
    margin = max(6, cell // 12)
    caption_font = ImageFont.load_default(max(10, round(cell / 8)))
    title_font = ImageFont.load_default(max(14, round(cell / 6)))
    lines = [_lines(caption) for caption in captions or [""] * len(images)]
    line_height = _line_height(caption_font)
    text_height = max((len(each) for each in lines), default=0) * line_height
    top = margin + (_line_height(title_font) + margin if title else 0)
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    row_height = cell + margin + (text_height + margin // 2 if text_height else 0)
    width = margin + columns * (cell + margin)
    if title:
        width = max(width, round(title_font.getlength(_printable(title))) + 2 * margin)
    sheet = Image.new("RGB", (width, top + rows * row_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((margin, margin), _printable(title), _INK, title_font)
    if len(images) == 0:
        draw.text((margin, top), "no image", _PALE_INK, caption_font)
    for index, image in enumerate(to_pil(images)):
        left = margin + (index % columns) * (cell + margin)
        upper = top + (index // columns) * row_height
        shown = _into_cell(image, cell)
        sheet.paste(shown, (left + (cell - shown.width) // 2, upper + (cell - shown.height) // 2))
        for number, line in enumerate(lines[index]):
            at = (left, upper + cell + margin // 3 + number * line_height)
            draw.text(at, _cut(line, caption_font, cell), _PALE_INK, caption_font)
    return sheet


def _check(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            f"images must be uint8 [n, 3, h, w], got {images.dtype} {tuple(images.shape)}."
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB of any mode: 16 bits scaled to 8 (Pillow would clip them), transparency on white."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image).astype(np.float64)
        top = 65535.0 if image.mode != "F" and values.max(initial=0) > 255 else 255.0
        image = Image.fromarray((values / top * 255).round().clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (*_PAPER, 255)), layer).convert(
            "RGB"
        )
    return image.convert("RGB")


def _into_cell(image: Image.Image, cell: int) -> Image.Image:
    factor = cell // max(image.size)
    if factor >= 1:
        size = (image.width * factor, image.height * factor)
        return image.resize(size, Image.Resampling.NEAREST)
    return ImageOps.contain(image, (cell, cell), Image.Resampling.LANCZOS)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _lines(caption: str) -> list[str]:
    return [_printable(line) for line in caption.split("\n")] if caption else []


def _line_height(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    box = font.getbbox("Ågjq|")
    return round(box[3] * 1.15) + 1


def _cut(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    line = line[:256]
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"
