"""Text of any origin, by one set of rules: encodings, marks, line ends, what is no character.

Captions, tables, prompts, ratings and run files are read here. Whatever bytes come end as text that
every file, page and store takes, with a note of what was assumed, or in one sentence.
"""

from __future__ import annotations

import codecs
import csv
import json
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from coti.core.errors import ConfigError, CotiError
from coti.core.plain_yaml import load_yaml
from coti.core.surrogates import valid_text

__all__ = [
    "LARGEST_TEXT",
    "CsvRow",
    "Decoded",
    "decode_text",
    "lines_of",
    "object_of",
    "read_csv",
    "read_json",
    "read_records",
    "read_text",
    "read_yaml",
]

LARGEST_TEXT = 100_000_000
"""Bytes of a text file that somebody names."""

# fmt: off
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""The longer ones first: UTF-32's begins like UTF-16's."""
_LEGACY = {
    "cp1252": "Windows-1252", "cp1251": "Windows-1251", "cp932": "Shift JIS", "gb18030": "GB 18030",
    "cp949": "EUC-KR", "big5": "Big5", "euc_jp": "EUC-JP",
}
# fmt: on
_SAMPLE = 8_192
_BLOCKS = b"\x00\x03\x04\x05\x06\x0e\x30"
"""High bytes of Latin, Greek, Cyrillic, Hebrew, Arabic, Thai and Kana."""
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f]")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f]")
_EVIDENCE = {2: 1, 3: 3, 4: 4}
"""Bytes of a character in UTF-8: how much one speaks for UTF-8."""
_HIGH = re.compile(rb"[\x80-\xff]+")
_ODD_IN_1252 = re.compile(rb"[\x81\x83\x86-\x88\x8d\x8f\x90\x98\x9d]")
_EMPTY_LINES = re.compile("\n*")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_DELIMITERS = ",\t;|"
_LONGEST_RECORD = 8_000_000
"""Characters of a table's row: a list of its cells takes twenty times as much."""


class Decoded(NamedTuple):
    """Text and what was assumed to get it; an empty note where there was no doubt."""

    text: str
    note: str = ""


def decode_text(data: bytes) -> Decoded:
    """Text of unknown encoding; never fails.

    In this order: a byte-order mark; UTF-16 and UTF-32 without one, known by their zero bytes;
    UTF-8; mostly UTF-8, the odd bytes replaced; what charset-normalizer takes it for among
    Windows-1252, Windows-1251, Shift JIS, EUC-JP, GB 18030, EUC-KR and Big5. Marks are dropped,
    lines end in ``\\n``.

    >>> decode_text("Über".encode("utf-16")), decode_text(b"caf\\xe9")
    (Decoded(text='Über', note=''), Decoded(text='café', note='not UTF-8: read as Windows-1252'))
    """
    text, note = _decoded(data)
    if "\ufeff" in text:
        text = text.replace("\ufeff", "")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Decoded(text, note)


def _decoded(data: bytes) -> tuple[str, str]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = data.decode(encoding, "replace")
            return text, "damaged: some of it is no text" if "\ufffd" in text else ""
    plain = _without_error(data, "utf-8")
    if plain is None or _CONTROL.search(data):
        for encoding in _wide_encodings(data):
            wide = _without_error(data, encoding)
            if wide is not None and all(map(_plausible, wide[:_SAMPLE])):
                return wide, f"without a mark: read as {encoding.upper()}"
    if plain is not None:
        return plain, ""
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    # other encodings give a valid pair of bytes here and there, rarely three, rarely a letter
    found = Counter(text).items()
    if sum(n * _EVIDENCE[len(c.encode())] for c, n in found if c > "\xbf" and _plausible(c)) > bad:
        return text, f"not UTF-8 in {bad} places, which are replaced"
    encoding = _legacy_encoding(data)
    return data.decode(encoding, "replace"), f"not UTF-8: read as {_LEGACY[encoding]}"


def _without_error(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _wide_encodings(data: bytes) -> Iterator[str]:
    """UTF-32 and UTF-16 without a mark, as far as the bytes' places speak for one."""
    sample = data[: 2 * _SAMPLE]
    if len(data) % 4 == 0 and sample.count(0) * 2 >= len(sample):
        yield from ("utf-32-le", "utf-32-be")
    if len(data) % 2 == 0:
        for encoding, low, high in (
            ("utf-16-le", sample[::2], sample[1::2]),
            ("utf-16-be", sample[1::2], sample[::2]),
        ):
            # half of the characters are of one alphabet, or spaces and line ends stand between
            # those of none; no byte of another encoding is where a zero is
            one = max(_BLOCKS, key=high.count)
            spaces = [place for place in range(len(high)) if high[place] == 0]
            if high.count(one) * 2 >= len(high) or (
                spaces and all(low[place] in b"\t\n\r ,." for place in spaces)
            ):
                yield encoding


def _plausible(character: str) -> bool:
    return character in "\t\n\r\ufeff" or (
        character != "\ufffd" and unicodedata.category(character) not in ("Cc", "Cn", "Co")
    )


def _legacy_encoding(data: bytes) -> str:
    from charset_normalizer import from_bytes

    sample = _marked_lines(data)
    runs = _HIGH.findall(sample)
    letters = sum(map(str.isalpha, sample.decode("ascii", "ignore")))
    # single marked letters among plain ones: a Western language, which short text is too little
    # for the library to see
    if (
        sum(map(len, runs)) * 2 <= letters
        and max(map(len, runs), default=0) <= 2
        and not _ODD_IN_1252.search(sample)
    ):
        return "cp1252"
    found = from_bytes(sample, cp_isolation=list(_LEGACY)).best()
    return found.encoding if found is not None and found.encoding in _LEGACY else "cp1252"


def _marked_lines(data: bytes) -> bytes:
    """The first of what is no ASCII with its lines: plain ones say nothing, and line ends are never
    part of another character."""
    found = _HIGH.search(data)
    start = max(found.start() - 100, 0) if found else 0
    lines: list[bytes] = []
    left = _SAMPLE
    while found is not None and left > 0:
        start = max(start, data.rfind(b"\n", start, found.start()) + 1)
        end = data.find(b"\n", found.end())
        end = len(data) if end < 0 else end
        lines.append(data[start : min(end, start + left)])
        left -= len(lines[-1]) + 1
        found, start = _HIGH.search(data, end), end + 1
    return b"\n".join(lines)


def lines_of(text: str) -> Iterator[str]:
    """The lines of a text, one after the other: a list of them may take twenty times as much."""
    place = 0
    while (end := text.find("\n", place)) >= 0:
        yield text[place:end]
        place = end + 1
    if place < len(text):
        yield text[place:]


def read_json(text: str) -> Any:
    """JSON whose strings are :func:`valid_text`, its objects :func:`object_of` their pairs.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    try:
        value = json.loads(text, object_pairs_hook=object_of)
        return _valid(value) if _SURROGATE_ESCAPE.search(text) else value
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _valid(value: Any) -> Any:
    if isinstance(value, str):
        return valid_text(value)
    if isinstance(value, list):
        return [_valid(one) for one in value]
    if isinstance(value, dict):
        return object_of([(valid_text(str(name)), _valid(one)) for name, one in value.items()])
    return value


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Names and values as a dictionary; under a name that comes again, the list of its values.

    >>> object_of([("noai", True), ("a", 1), ("noai", False)])
    {'noai': [True, False], 'a': 1}
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        every: dict[str, list[Any]] = {name: [] for name in found}
        for name, value in pairs:
            every[name].append(value)
        found = {name: said if len(said) > 1 else said[0] for name, said in every.items()}
    return found


class CsvRow(NamedTuple):
    """A row of a table: the line it ends on, from 1, and its cells or what is wrong with it."""

    line: int
    cells: list[str]
    problem: str = ""


def read_csv(text: str, known: Collection[str]) -> Iterator[CsvRow]:
    """Rows of cells, the header first; blank lines are passed over.

    Commas, tabs, semicolons or bars: that with which the header has most ``known`` names (in small
    letters), then most names. A cell may be long; NULs are dropped. A quote that is never closed
    does not swallow the rows that follow. Of a line of more than 8 million characters only so many
    are read. Takes no more memory than the text and a row, and time in proportion to the text.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_RECORD))
    if "\0" in text:
        text = text.replace("\0", "")
    header = next((line for line in lines_of(text) if line.strip()), "")[:_LONGEST_RECORD]

    def fit(delimiter: str) -> tuple[int, int]:
        names = [cell.strip(" \"'").lower() for cell in header.split(delimiter)]
        return sum(name in known for name in names), len(names)

    delimiter = max(_DELIMITERS, key=fit)
    lines = _CsvLines(text)
    again = 2 * len(text)
    """Characters that may be looked at a second time: where every line opens a quote, the end of
    the file would be looked for from each."""
    while not lines.ended:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            lines.begin()
            try:
                if again <= 0:
                    raise csv.Error
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:  # its quotes are not those of CSV: the line for itself
                again -= lines.go_back()
                yield from _line_alone(lines, delimiter)
                break
            if cells:
                yield CsvRow(lines.number, cells)


class _CsvLines:
    """The lines of a text for a CSV reader, which can go back to where a row began."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = self._began = 0
        self.number = self._began_at = 0

    def __iter__(self) -> _CsvLines:
        return self

    def __next__(self) -> str:
        if self.ended:
            raise StopIteration
        end = self._text.find("\n", self._place)
        end = len(self._text) if end < 0 else end
        if end - self._began > _LONGEST_RECORD:
            raise csv.Error(f"a row of more than {_LONGEST_RECORD} characters")
        return self._take(end) + "\n"

    @property
    def ended(self) -> bool:
        """Whether there is no line more."""
        return self._place >= len(self._text)

    def begin(self) -> None:
        """A row begins here, or behind the empty lines that are here."""
        behind = _EMPTY_LINES.match(self._text, self._place)
        assert behind is not None
        self.number += behind.end() - self._place
        self._place = behind.end()
        self._began, self._began_at = self._place, self.number

    def go_back(self) -> int:
        """To where the row began; how many characters that is."""
        size = self._place - self._began
        self._place, self.number = self._began, self._began_at
        return size

    def cut_line(self) -> tuple[str, str]:
        """The next line, cut where it is too long, and then a sentence."""
        end = self._text.find("\n", self._place)
        size = (len(self._text) if end < 0 else end) - self._place
        line = self._take(self._place + size)
        said = f"a row of {size} characters" if size > _LONGEST_RECORD else ""
        return line, said

    def _take(self, end: int) -> str:
        line = self._text[self._place : min(end, self._place + _LONGEST_RECORD)]
        self._place = end + 1
        self.number += 1
        return line


def _line_alone(lines: _CsvLines, delimiter: str) -> Iterator[CsvRow]:
    line, problem = lines.cut_line()
    try:
        for cells in csv.reader([line], delimiter=delimiter):
            if cells:
                yield CsvRow(lines.number, cells, problem)
    except csv.Error as error:
        yield CsvRow(lines.number, [], f"not CSV: {error}")


def read_records(
    path: str | Path, needed: Collection[str], what: str, error: type[CotiError]
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a small table that the user names: each one's line, and its cells by column.

    Args:
        path: the table, in any encoding that :func:`decode_text` knows, with any delimiter.
        needed: columns that it must have.
        what: it is, for messages.
        error: class of what is raised.

    Raises:
        CotiError: it cannot be read, lacks a column, or a row is no CSV; names the line.
    """
    rows = read_csv(read_text(path, what, error), needed)
    names = [name.strip() for name in next(rows, CsvRow(1, [])).cells]
    if not set(needed) <= set(names):
        columns = " and ".join([", ".join([*needed][:-1]), [*needed][-1]])
        raise error(f"{what} {str(path)!r} must have the columns {columns}, got {names}.")
    records = []
    for row in rows:
        if row.problem:
            raise error(f"{what} {str(path)!r}, line {row.line}: {row.problem}.")
        records.append((row.line, dict(zip(names, row.cells, strict=False))))
    return records


def read_text(path: str | Path, what: str, error: type[CotiError] = ConfigError) -> str:
    """The text of a file that the user names; what was assumed of its encoding is logged.

    Args:
        path: the file.
        what: it is, for messages: ``the prompts``.
        error: class of what is raised.

    Raises:
        CotiError: it cannot be read, is no text, or has more than :data:`LARGEST_TEXT` bytes.
    """
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(LARGEST_TEXT + 1)
    except (OSError, ValueError) as fault:
        said = getattr(fault, "strerror", None) or fault
        raise error(f"{what} {str(path)!r} cannot be read ({said}): check the path.") from fault
    if len(data) > LARGEST_TEXT:
        raise error(f"{what} {str(path)!r} has more than {LARGEST_TEXT} bytes: is it the file?")
    text, note = decode_text(data)
    if note.startswith("damaged") or _NO_TEXT.search(text):
        raise error(f"{what} {str(path)!r} cannot be read: it is no text. Give a UTF-8 text file.")
    if note:
        logging.getLogger(__name__).warning("%s: %s; save it as UTF-8", path, note)
    return text


def read_yaml(path: str | Path, what: str = "the run file") -> Any:
    """What a YAML file says, as plain values; None for an empty one.

    Raises:
        ConfigError: it cannot be read, or :func:`coti.core.plain_yaml.load_yaml` refuses it.
    """
    try:
        return load_yaml(read_text(path, what))
    except ValueError as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}.") from error
