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
from coti.core.shown_names import printable
from coti.core.surrogates import valid_text
from coti.core.text_files import decode_text, read_json, read_records, read_text
from coti.core.tokens import fault_of_token, token_of
from coti.core.whole_files import plain_name
from coti.pool.untrusted_text import as_text, clean_caption
from coti.settings.from_yaml import parse_settings, read_run_file
from ops.tracking.tracker import slug
from tests.e2e.conftest import TINY

__all__ = ["HOSTILE_YAML", "attack", "hostile_strings", "hostile_yaml"]


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
    lines = next(hostile_yaml(dice))
    frame = "parameters:\n  config:\n    concept: a\n"
    (folder / "hostile.yaml").write_text(frame + lines, encoding="utf-8")
    readers: tuple[Callable[[], Any], ...] = (
        lambda: read_text(path, "the text"),
        lambda: read_records(path, ("file_name",), "the table", PoolError),
        lambda: read_run_file(path),
        lambda: read_run_file(folder / "run.yaml"),
        lambda: read_run_file(folder / "hostile.yaml"),
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
            assert len(str(error)) <= 2_500, str(error)
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


def _odd_key(dice: random.Random) -> str:
    key = dice.choice(("2020-01-01", "1", "0x10", "1.5", "true", "null", "~", "[a, b]", "{a: 1}"))
    return f'    {key}: "\\\\"\n'


def _alias_of_itself(dice: random.Random) -> str:
    inner = dice.choice(("[*a, %s]", "{b: *a, c: %s}", "[[[*a]], %s]", "[[*a, *a, *a], %s]"))
    return "    pool: &a " + inner % '"\\\\"' + "\n"


def _expanding_aliases(dice: random.Random) -> str:
    wide, levels = dice.randint(2, 10), dice.randint(7, 30)
    levels = max(levels, 60 // wide)
    lines = [f"    a0: &a0 [{', '.join('x' * wide)}]"]
    for level in range(1, levels):
        lines.append(f"    a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * wide)}]")
    return "\n".join([*lines, f"    pool: *a{levels - 1}", '    b: "\\\\"', ""])


def _expanding_merges(dice: random.Random) -> str:
    wide, levels = dice.randint(2, 10), dice.randint(9, 30)
    lines = ["    m0: &m0 {k: 1}"]
    for level in range(1, max(levels, 60 // wide)):
        merged = ", ".join([f"*m{level - 1}"] * wide)
        lines.append(f"    m{level}: &m{level} {{<<: [{merged}]}}")
    return "\n".join([*lines, ""])


def _repeated_text(dice: random.Random) -> str:
    many = dice.randint(10_000, 50_000)
    return f"    seeds: &a {'x' * 100_000}\n    pool: [{'*a, ' * many}]\n"


def _long_value(dice: random.Random) -> str:
    size = dice.choice((10_000, 400_000, 1_000_000))
    return f"    {dice.choice(('seed', 'train', 'growth', 'seeds'))}: [{'k' * size}]\n"


def _long_number(dice: random.Random) -> str:
    digits = dice.choice(
        ("1" * 5_000, "0x" + "f" * 400_000, "1" + ":1" * 200_000, "1e" + "9" * 999)
    )
    return f"    seed: {digits}\n    train: {digits}\n"


def _long_key(dice: random.Random) -> str:
    return f'    ? "{"k" * dice.choice((5_000, 100_000))}"\n    : 1\n'


def _many_keys(dice: random.Random) -> str:
    return "".join(f"    k{number}: 1\n" for number in range(dice.choice((500, 20_000))))


def _key_twice(dice: random.Random) -> str:
    key = dice.choice(("pool", "concept", "train"))
    return f"    {key}: {{}}\n    {key}: {{}}\n"


def _deep(dice: random.Random) -> str:
    depth = dice.choice((200, 900, 100_000))
    return f"    pool: {'[' * depth}{']' * depth}\n"


def _deep_by_aliases(dice: random.Random) -> str:
    lines = ["    a0: &a0 [x]"]
    lines += [f"    a{n}: &a{n} [*a{n - 1}]" for n in range(1, dice.choice((200, 5_000)))]
    return "\n".join([*lines, ""])


def _odd_tag(dice: random.Random) -> str:
    tag = dice.choice(("python/object/apply:os.system", "python/name:os.system", "x" * 50_000))
    known = dice.choice(("timestamp x", "int ''", "int _", "int '-'", "float ''", "bool q"))
    return "    pool: !!" + dice.choice((f"{tag} [id]", known)) + "\n"


def _half_a_character(dice: random.Random) -> str:
    place = dice.choice(("pool: %s", "? %s\n    : 1", "pool: [[%s]]", "pool: {a: {b: %s}}"))
    return "    " + place % '"\\ud800"' + "\n"


HOSTILE_YAML: tuple[Callable[[random.Random], str], ...] = (
    *(_odd_key, _alias_of_itself, _expanding_aliases, _expanding_merges, _repeated_text),
    *(_long_value, _long_number, _long_key, _many_keys, _key_twice, _deep, _deep_by_aliases),
    *(_odd_tag, _half_a_character),
)
"""Lines of a run file's settings, none of which can be used."""


def hostile_yaml(random: random.Random) -> Iterator[str]:
    """Lines below ``config:`` that stand for more than they are, or for nothing."""
    while True:
        yield random.choice(HOSTILE_YAML)(random)
