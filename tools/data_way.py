"""The data's way through the pipeline, read from its source: which step hands what to which.

The pipeline's function is followed statement by statement, and so are the functions of
``pipelines/`` that it calls; a value is known by the steps that made it. Nothing is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Step", "Wiring", "read_wiring"]

Origins = frozenset[tuple[str, str]]
"""Steps, and which of their outputs; "" where that can't be told."""
_NOTHING: Origins = frozenset()


@dataclass
class Step:
    """A step as the pipeline calls it."""

    name: str
    outputs: tuple[str, ...]
    in_loop: bool = False
    reads: set[tuple[str, str]] = field(default_factory=set)
    """Steps and outputs that it takes of the same cycle, or from before the loop."""
    reads_last_cycle: set[tuple[str, str]] = field(default_factory=set)
    """Steps and outputs that it takes of the cycle before."""

    @property
    def sources(self) -> set[str]:
        """The steps of ``reads``."""
        return {name for name, _ in self.reads}


@dataclass(frozen=True)
class Wiring:
    """All steps in the order in which they are called."""

    steps: tuple[Step, ...]

    def handed_on(self) -> list[tuple[str, str]]:
        """Arrows between steps, without those that others imply (the transitive reduction)."""
        reads = {step.name: step.sources for step in self.steps}

        def above(name: str) -> set[str]:
            found = set(reads[name])
            for each in reads[name]:
                found |= above(each)
            return found

        return [
            (source, step.name)
            for step in self.steps
            for source in sorted(step.sources)
            if not any(source in above(other) for other in step.sources - {source})
        ]


def read_wiring(root: Path, start: str = "coti_concept") -> Wiring:
    """Follow the pipeline ``start`` of ``pipelines/``.

    Args:
        root: the repository.
        start: name of the pipeline's function.

    Raises:
        ValueError: ``pipelines/`` has no such function, or it calls no step.
    """
    outputs = _outputs_of_steps(root)
    functions: dict[str, ast.FunctionDef] = {}
    for path in sorted((root / "pipelines").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        methods = [
            node for kind in tree.body if isinstance(kind, ast.ClassDef) for node in kind.body
        ]
        for prefix, nodes in (("", tree.body), (".", methods)):
            for node in nodes:
                # Of several of one name the first that calls a step.
                if isinstance(node, ast.FunctionDef) and not _names_one(
                    functions.get(prefix + node.name), outputs
                ):
                    functions[prefix + node.name] = node
    reader = _Reader(functions, outputs)
    if start not in functions:
        raise ValueError(f"pipelines/ has no function {start!r}.")
    reader.run(functions[start], {})
    if not reader.found:
        raise ValueError(f"the pipeline {start!r} calls no step of steps/.")
    return Wiring(tuple(reader.found.values()))


def _names_one(function: ast.FunctionDef | None, names: Mapping[str, object]) -> bool:
    return function is not None and any(
        isinstance(node, ast.Name) and node.id in names for node in ast.walk(function)
    )


def _outputs_of_steps(root: Path) -> dict[str, tuple[str, ...]]:
    """Names of the outputs of every ``@step`` of ``steps/``, from its annotations."""
    found = {}
    for path in sorted((root / "steps").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any(
                _name(each) == "step" for each in node.decorator_list
            ):
                found[node.name] = tuple(_annotated_names(node.returns))
    return found


def _annotated_names(annotation: ast.expr | None) -> Iterable[str]:
    for node in ast.walk(annotation) if annotation is not None else ():
        if isinstance(node, ast.Subscript) and _name(node.value) == "Annotated":
            for part in ast.walk(node.slice):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value
                    break


def _name(node: ast.expr) -> str:
    """The last part of a name, a dotted name or a call of one."""
    if isinstance(node, ast.Call):
        return _name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


class _Reader:
    """Runs functions on sets of origins instead of values."""

    def __init__(
        self, functions: Mapping[str, ast.FunctionDef], outputs: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._functions = functions  # a method's name begins with a dot
        self._outputs = outputs
        self._running: list[ast.FunctionDef] = []
        self._in_loop = False
        self.found: dict[str, Step] = {}

    def run(self, function: ast.FunctionDef, env: dict[str, Origins]) -> Origins:
        """The origins of what it returns."""
        self._running.append(function)
        result = self._block(function.body, env)
        self._running.pop()
        return result

    def _block(self, body: Iterable[ast.stmt], env: dict[str, Origins]) -> Origins:
        result = _NOTHING
        for statement in body:
            if isinstance(statement, (ast.While, ast.For)):
                if isinstance(statement, ast.For):
                    self._bind(statement.target, self._value(statement.iter, env), env)
                outside, self._in_loop = self._in_loop, True
                for _ in range(2):  # the second time with what the first handed on
                    result |= self._block(statement.body, env)
                self._in_loop = outside
            elif isinstance(statement, ast.If):
                other = dict(env)
                result |= self._block(statement.body, env) | self._block(statement.orelse, other)
                for name, origins in other.items():
                    env[name] = env.get(name, _NOTHING) | origins
            elif isinstance(statement, ast.With):
                result |= self._block(statement.body, env)
            elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
                value = statement.value
                origins = self._value(value, env) if value is not None else _NOTHING
                if isinstance(statement, ast.AugAssign):
                    origins |= self._value(statement.target, env)
                targets = (
                    statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                )
                for target in targets:
                    self._assign(target, value, origins, env)
            elif isinstance(statement, ast.Return) and statement.value is not None:
                result |= self._value(statement.value, env)
            elif isinstance(statement, ast.Expr):
                self._value(statement.value, env)
        return result

    def _assign(
        self, target: ast.expr, value: ast.expr | None, origins: Origins, env: dict[str, Origins]
    ) -> None:
        """``a, b = x, y`` and ``a, b = step(…)``: each its own; else all to all."""
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for each, part in zip(target.elts, value.elts, strict=True):
                self._bind(each, self._value(part, env), env)
            return
        names = {name for name, output in origins if not output}
        outputs = self._outputs[names.pop()] if len(names) == len(origins) == 1 else ()
        elements = target.elts if isinstance(target, ast.Tuple) else [target]
        if len(elements) != len(outputs):
            self._bind(target, origins, env)
            return
        ((step, _),) = origins
        for each, output in zip(elements, outputs, strict=True):
            self._bind(each, frozenset({(step, output)}), env)

    def _bind(self, target: ast.expr, origins: Origins, env: dict[str, Origins]) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                whole = isinstance(target, (ast.Name, ast.Tuple))
                env[node.id] = origins if whole else env.get(node.id, _NOTHING) | origins

    def _value(self, node: ast.AST, env: dict[str, Origins]) -> Origins:
        if isinstance(node, ast.Name):
            return env.get(node.id, _NOTHING)
        if isinstance(node, ast.Call):
            return self._call(node, env)
        found = _NOTHING
        for part in ast.iter_child_nodes(node):
            found |= self._value(part, env)
        return found

    def _call(self, call: ast.Call, env: dict[str, Origins]) -> Origins:
        given = [self._value(each, env) for each in call.args]
        named = {each.arg or "": self._value(each.value, env) for each in call.keywords}
        every = _NOTHING.union(*given, *named.values())
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        name = _name(call.func)
        if name in ("append", "extend", "update") and isinstance(owner, ast.Name):
            env[owner.id] = env.get(owner.id, _NOTHING) | every
            return _NOTHING
        # `step(…)`, `step.map(…)`, `loop(step, …)`.
        first = call.args[0] if call.args else None
        for each in (
            name,
            _name(owner) if owner else "",
            first.id if isinstance(first, ast.Name) else "",
        ):
            if each in self._outputs:
                return self._step(each, every)
        own, other = ("." + name, name) if owner is not None else (name, "." + name)
        function = self._functions.get(own) or self._functions.get(other)
        if function is None or function in self._running:
            return every | (self._value(owner, env) if owner else _NOTHING)
        names = [each.arg for each in function.args.args if each.arg != "self"]
        inner: dict[str, Origins] = dict(zip(names, given, strict=False))
        inner |= {key: origins for key, origins in named.items() if key}
        rest = [each.arg for each in (function.args.vararg, function.args.kwarg) if each]
        inner |= dict.fromkeys(rest, every)
        return self.run(function, inner)

    def _step(self, name: str, origins: Origins) -> Origins:
        step = self.found.setdefault(name, Step(name, self._outputs[name]))
        step.in_loop = step.in_loop or self._in_loop
        order = list(self.found)
        for source in origins:
            earlier = order.index(source[0]) < order.index(name)
            (step.reads if earlier else step.reads_last_cycle).add(source)
        only = step.outputs[0] if len(step.outputs) == 1 else ""
        return frozenset({(name, only)})
