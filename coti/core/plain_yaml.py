"""YAML that a person wrote: texts, numbers, lists and mappings, of a size that a person writes.

Aliases and merge keys stand for what they repeat, and a few lines of them can stand for more than
any machine has; of a key that stands twice YAML's readers keep the last without a word. Both are
refused while the text is read, before anything is made of it.
"""

from __future__ import annotations

from typing import Any

import yaml

from coti.core.errors import shortened
from coti.core.surrogates import HALF, with_pairs_joined

__all__ = ["LARGEST_YAML", "load_yaml"]

LARGEST_YAML = 500_000
"""Characters of a file: the reader takes some ten seconds for so many."""
_EXPANDED = 8 * LARGEST_YAML
"""Characters and values that all aliases together may stand for; without one it is never reached"""
_DEEPEST = 100
"""Lists and mappings inside each other."""
_LONGEST_NUMBER = 1_000
"""Letters of a number or a date."""
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


def load_yaml(text: str) -> Any:
    """The plain values in a text; None where it is empty.

    Raises:
        ValueError: it cannot be read, repeats a key, or stands for too much; one line that says
            where.

    >>> load_yaml("a: &one [1, 2]\\nb: *one")
    {'a': [1, 2], 'b': [1, 2]}
    >>> load_yaml("pool: a\\npool: b")
    Traceback (most recent call last):
    ValueError: line 2, column 1: the key 'pool' stands twice: keep one
    """
    if len(text) > LARGEST_YAML:
        raise ValueError(f"{len(text)} characters, at most {LARGEST_YAML} are read: is it the file")
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except (yaml.YAMLError, ValueError, OverflowError, AttributeError, LookupError) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


class _Loader(yaml.SafeLoader):
    """Measures every value as it is composed, what an alias stands for each time."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._measures: dict[int, tuple[int, int]] = {}
        """Size and depth of each value that is whole; the tree keeps them all alive."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        is_alias = self.check_event(yaml.AliasEvent)
        node: Any = super().compose_node(parent, index)
        if is_alias:
            if id(node) not in self._measures:
                _refuse("an alias inside what it stands for: write it out", mark)
            return node
        if isinstance(node, yaml.ScalarNode):
            _check_scalar(node)
            self._measures[id(node)] = 1 + len(node.value), 0
            return node
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            children = [each for pair in node.value for each in pair]
        else:
            children = node.value
        measures = [self._measures[id(each)] for each in children]
        size = 1 + sum(size for size, _ in measures)
        depth = 1 + max((depth for _, depth in measures), default=0)
        if size > _EXPANDED:
            _refuse("its aliases stand for too much: write less of it out", mark)
        if depth > _DEEPEST:
            _refuse("nested too deeply", mark)
        self._measures[id(node)] = size, depth
        return node


def _refuse(problem: str, mark: Any) -> None:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _check_scalar(node: Any) -> None:
    node.value = with_pairs_joined(node.value)
    if HALF.search(node.value):
        _refuse(r"an escape (\ud800 …) is half a character: write the whole", node.start_mark)
    if node.tag != _TEXT and len(node.value) > _LONGEST_NUMBER:
        _refuse(f"a number of {len(node.value)} letters: put a text into quotes", node.start_mark)


def _check_keys(node: Any) -> None:
    """Texts, each once; a merge key may come again."""
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag == _MERGE:
            continue
        if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
            said = repr(key.value) if isinstance(key, yaml.ScalarNode) else "of several values"
            _refuse(f"the key {shortened(said)} is no text: put it into quotes", key.start_mark)
        if key.value in seen:
            said = shortened(repr(key.value))
            _refuse(f"the key {said} stands twice: keep one", key.start_mark)
        seen.add(key.value)
