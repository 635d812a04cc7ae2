"""Hostile text, endless and from a seed: what a stranger may put where text is expected."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from coti.core.errors import CotiError, PoolError
from coti.core.redaction import redacted
from coti.core.text_files import decode_text, read_json, read_records, read_text, valid_text
from coti.core.tokens import fault_of_token, token_of
from coti.core.whole_files import plain_name
from coti.pool.untrusted_text import as_text, clean_caption, printable
from coti.settings.from_yaml import parse_settings, read_run_file
from ops.tracking.tracker import slug
from tests.e2e.conftest import TINY

__all__ = ["attack", "hostile_strings"]


def attack(dice: random.Random, folder: Path) -> list[str]:
    """A string wherever text of others is read: it ends as text that every file takes, in the same
    words however it came, or in one sentence.
    """
    given = next(hostile_strings(dice))
    data = given if isinstance(given, bytes) else given.encode("utf-8", "surrogatepass")
    said = decode_text(given).text if isinstance(given, bytes) else given
    text = valid_text(said)
    assert as_text(given) == text
    caption, _ = clean_caption(said, 300)
    shown = (text, caption, printable(said), redacted(text), slug(said), token_of(text))
    for each in shown:
        each.encode()
    assert len(caption) <= 300
    assert len(printable(said).splitlines()) <= 1
    assert read_json(json.dumps({said: [said]})) == {text: [text]}
    path = folder / "given"
    path.write_bytes(data)
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in TINY.items()}
    place = dice.choice(_leaves(values))
    place(said)
    # JSON is YAML, and Python's own YAML writer takes seconds for a long text.
    (folder / "run.yaml").write_text(json.dumps({"parameters": {"config": values}}))
    readers: tuple[Callable[[], Any], ...] = (
        lambda: read_text(path, "the text"),
        lambda: read_records(path, ("file_name",), "the table", PoolError),
        lambda: read_run_file(path),
        lambda: read_run_file(folder / "run.yaml"),
        lambda: parse_settings(values, "the strings"),
        lambda: plain_name(said, "the name"),
    )
    refused = 0
    for reader in readers:
        try:
            repr(reader()).encode()
        except CotiError as error:
            str(error).encode()
            assert len(str(error).splitlines()) == 1, str(error)
            refused += 1
    assert not fault_of_token(token_of(text)) or not token_of(text)
    return [f"refused {refused} of {len(readers)}"]


def _leaves(values: dict[str, Any]) -> list[Callable[[str], None]]:
    """What puts a text in a setting's place, for each setting."""
    inner = itertools.chain.from_iterable(
        _leaves(value) for value in values.values() if isinstance(value, dict)
    )
    return [*(lambda text, key=key: values.update({key: text}) for key in values), *inner]


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
    *("noarchive; none", "; ", "robots: noai", "\\x01", "\x01", "googlebot: noai, ", "train-ai=n"),
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
