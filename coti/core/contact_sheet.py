"""Many images as one, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from coti.core.images import check_images, to_pil

__all__ = ["contact_sheet"]

_INK, _PALE_INK, _PAPER = (28, 28, 30), (96, 96, 100), (255, 255, 255)


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
    """
    check_images(images)
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
