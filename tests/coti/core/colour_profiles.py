"""ICC profiles made from published numbers, and colours encoded in them without Little CMS."""

from __future__ import annotations

import struct

import numpy as np

__all__ = [
    "GAMMAS",
    "MATRICES",
    "cmyk_profile",
    "encode_rgb",
    "grey_profile",
    "ink_colours",
    "rgb_profile",
]

MATRICES: dict[str, list[list[float]]] = {
    "sRGB": [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ],
    "Adobe RGB": [
        [0.6097559, 0.2052401, 0.1492240],
        [0.3111242, 0.6256560, 0.0632197],
        [0.0194811, 0.0608902, 0.7448387],
    ],
    "Display P3": [
        [0.5151187, 0.2919778, 0.1571035],
        [0.2411892, 0.6922441, 0.0665668],
        [-0.0010505, 0.0418791, 0.7840713],
    ],
    "ProPhoto": [
        [0.7976749, 0.1351917, 0.0313534],
        [0.2880402, 0.7118741, 0.0000857],
        [0.0, 0.0, 0.8252100],
    ],
}
"""Linear RGB to XYZ, D50 (Lindbloom)."""
GAMMAS = {"Adobe RGB": 2.19921875, "ProPhoto": 1.8}
"""The others have sRGB's curve."""
_D50 = (0.9642, 1.0, 0.8249)


def to_linear(value: np.ndarray) -> np.ndarray:
    """sRGB's curve, 0 to 1."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def from_linear(value: np.ndarray) -> np.ndarray:
    """The same backwards."""
    value = np.clip(value, 0, 1)
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)


def encode_rgb(colours: np.ndarray, space: str) -> np.ndarray:
    """sRGB colours, uint8 [..., 3], as the numbers that mean them in another space."""
    xyz = to_linear(colours / 255) @ np.array(MATRICES["sRGB"]).T
    linear = np.clip(xyz @ np.linalg.inv(np.array(MATRICES[space])).T, 0, 1)
    values = linear ** (1 / GAMMAS[space]) if space in GAMMAS else from_linear(linear)
    return np.rint(values * 255).astype(np.uint8)


def rgb_profile(space: str) -> bytes:
    """A matrix profile."""
    columns = np.array(MATRICES[space]).T
    tags = {b"wtpt": _xyz(_D50)}
    for letter, column in zip(b"rgb", columns, strict=True):
        tags[bytes([letter]) + b"XYZ"] = _xyz(column)
        tags[bytes([letter]) + b"TRC"] = _curve(GAMMAS.get(space))
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    """A profile of grey levels."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(_D50), b"kTRC": _curve(gamma)})


def ink_colours(inks: np.ndarray) -> np.ndarray:
    """sRGB, 0 to 1, of inks [n, 4], 0 to 1: stronger than Pillow's rule has them."""
    return ((1 - inks[:, :3]) * (1 - inks[:, 3:])) ** 1.6


def cmyk_profile() -> bytes:
    """Of :func:`ink_colours`; exact where all four inks are multiples of 51."""
    steps = np.arange(6) / 5
    inks = np.stack(np.meshgrid(steps, steps, steps, steps, indexing="ij"), -1).reshape(-1, 4)
    xyz = to_linear(ink_colours(inks)) @ np.array(MATRICES["sRGB"]).T
    scaled = xyz / np.array(_D50)
    root = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    lab = np.stack(
        [
            (116 * root[:, 1] - 16) * 652.8,
            (500 * (root[:, 0] - root[:, 1]) + 128) * 256,
            (200 * (root[:, 1] - root[:, 2]) + 128) * 256,
        ],
        -1,
    )
    table = np.clip(np.rint(lab), 0, 65535).astype(">u2").tobytes()
    unit = np.array([0, 65535], ">u2").tobytes()
    matrix = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft2" + bytes(4) + bytes([4, 3, 6, 0]) + matrix + struct.pack(">2H", 2, 2)
    tags = {b"wtpt": _xyz(_D50), b"A2B0": lut + unit * 4 + table + unit * 3}
    return _profile(b"prtr", b"CMYK", b"Lab ", tags)


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    table = np.rint(to_linear(np.linspace(0, 1, 4096)) * 65535).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", len(table)) + table.tobytes()


def _xyz(values: object) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))  # type: ignore[attr-defined]


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    place = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">2I", place + len(body), len(content))
        body += content
    header = struct.pack(">I4sI", place + len(body), b"test", 0x02400000)
    header += kind + space + connection + bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3i", *(round(v * 65536) for v in _D50))
    return header.ljust(128, b"\0") + table + body
