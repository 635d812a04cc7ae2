"""Hostile text, endless and from a seed: what a stranger may put where text is expected."""

from __future__ import annotations

import random
from collections.abc import Iterator

__all__ = ["hostile_strings"]

_ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "utf-7"),
    *("latin-1", "cp1251", "cp932", "gb18030", "euc_kr", "big5", "euc_jp", "iso2022_jp", "cp037"),
)
_WORDS = (
    *("a boot", "Schnürstiefel", "ботинки", "アンクルブーツ", "一双短靴", "앵클 부츠", "صورة حذاء"),
    *("👢🏽", "e\u0301" * 40, "\u202egpj.exe", "\ufeffmark", "\u2028", "\x00", "\x1b[31mred"),
    *("\ud800", "\udfff\ud800", "\udc80\udcff", "=cmd|' /C calc'!A0", "@SUM(1+1)", "-2+3"),
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "]]>", "{{ 7 * 7 }}", "${x}"),
    *("'; DROP TABLE pool; --", "%s%n", "../../etc/passwd", "C:\\boot.ini", "con", "a/b\\c", "~"),
    *("nan", "inf", "1e999", "-0", "1" * 5000, "null", "true", "0x10", "١٢٣"),
    *('a "quote', "a,b;c\td|e", "line\nline\r\nline\rline", "\\", '\\"', "\\ud800", "noai"),
)


def hostile_strings(random: random.Random) -> Iterator[str | bytes]:
    """Text that is odd, too long, half a character or dangerous where it is shown; and bytes that
    are text in some encoding, in several, or in none.
    """
    while True:
        text = random.choice(("", " ", "\n", ",")).join(
            random.choices(_WORDS, k=random.randint(0, 5))
        )
        if random.random() < 0.05:
            text *= random.choice((100, 10_000))
        kind = random.randrange(4)
        if kind == 0:
            yield text
            continue
        data = bytearray(text.encode(random.choice(_ENCODINGS), "replace"))
        if kind == 2:  # some bytes changed
            for _ in range(random.randint(1, 5)):
                if data:
                    data[random.randrange(len(data))] = random.randrange(256)
        elif kind == 3:  # another encoding's text behind it, or a cut
            data += random.choice(_WORDS).encode(random.choice(_ENCODINGS), "replace")
            del data[random.randrange(len(data) + 1) :]
        yield bytes(data)
