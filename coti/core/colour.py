"""An image's own colour profile brought to sRGB by Little CMS.

Relative colorimetric with black point compensation, as image editors and browsers do it.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

__all__ = ["LAB", "ProfileError", "grey_table", "to_srgb"]

LAB = b"CIELAB"
"""Stands for a profile where the image's mode is ``LAB``, which needs none."""

_SAME = 2
"""Levels by which the profiles that call themselves sRGB differ from each other."""


class ProfileError(Exception):
    """The profile is damaged, or not one of the image's colours."""


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An image of mode ``L``, ``RGB``, ``CMYK`` or ``LAB`` with an ICC profile, in sRGB.

    What is sRGB already, within two levels of 255, comes back as it is.

    Raises:
        ProfileError: the profile cannot be used on it.
    """
    if image.mode == "L":
        return Image.merge("RGB", [image.point(band) for band in grey_table(profile)])
    transform = _transform(profile, image.mode)
    if transform is None:
        return image
    result = transform.apply(image)
    result.info.clear()
    return result


@lru_cache(maxsize=8)
def grey_table(profile: bytes) -> tuple[list[int], ...]:
    """Red, green and blue, 256 levels each, of the grey levels of a profile.

    Little CMS's own tables are too coarse for the shadows of linear light, so they are not used.

    Raises:
        ProfileError: it is damaged, or not one of greys.
    """
    transform = _transform(profile, "L", ImageCms.Flags.NOOPTIMIZE)
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    assert transform is not None
    return tuple(band.tolist() for band in np.asarray(transform.apply(ramp))[0].T)


@lru_cache(maxsize=8)
def _transform(
    profile: bytes, mode: str, flags: ImageCms.Flags = ImageCms.Flags.NONE
) -> ImageCms.ImageCmsTransform | None:
    """To sRGB; None where there is nothing to do. Kept, since a pool's images share profiles."""
    try:
        source = (
            ImageCms.createProfile("LAB")
            if profile == LAB
            else ImageCms.ImageCmsProfile(io.BytesIO(profile))
        )
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags | ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        raise ProfileError(str(error)) from error
    if mode == "RGB":
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        probe = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(81, 9, 3)
        changed = np.asarray(transform.apply(Image.fromarray(probe))).astype(np.int16)
        if np.abs(changed - probe).max() <= _SAME:
            return None
    return transform
