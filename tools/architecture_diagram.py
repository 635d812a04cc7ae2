"""Draw the architecture from the code: `python -m tools.architecture_diagram [--check]`.

``docs/images/data_way.svg`` is the pipeline's wiring; two tables in ``docs/architecture.md`` say
what each step reads, and who imports whom. ``--check`` writes nothing: it fails where one of them
is out of date. Either way it fails where a package imports one below it, or modules
import each other.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

from tools.data_way import Output, Step, handed_on, read_wiring
from tools.package_imports import ORDER, Import, circles, downward, read_imports

__all__ = ["draw_data_way", "main", "table_of_packages", "table_of_steps"]

ROOT = Path(__file__).resolve().parents[1]
_INK, _PALE, _LINE, _BACK = "#1f2933", "#52606d", "#9aa5b1", "#d9480f"
_STYLE = "font-family: 'Helvetica Neue', Arial, sans-serif"


def main(*words: str) -> None:
    """Write what is out of date, or fail because of it."""
    steps, imports = read_wiring(ROOT), read_imports(ROOT)
    page = ROOT / "docs" / "architecture.md"
    text = page.read_text(encoding="utf-8")
    for name, table in (("steps", table_of_steps(steps)), ("packages", table_of_packages(imports))):
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        head, rest = text.split(begin)
        text = f"{head}{begin}{table}{end}{rest.split(end)[1]}"
    made = {ROOT / "docs" / "images" / "data_way.svg": draw_data_way(steps), page: text}
    for path, text in made.items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in words:
            raise SystemExit(
                f"{path.relative_to(ROOT)} is out of date: "
                "run python -m tools.architecture_diagram."
            )
        path.write_text(text, encoding="utf-8")
    wrong = [
        f"{each.place}: {each.importer} imports {each.imported}, which is below it"
        for each in downward(imports)
    ]
    wrong += [f"{', '.join(each)} import each other" for each in circles(ROOT)]
    if wrong:
        raise SystemExit("\n".join(wrong))


def table_of_packages(imports: list[Import]) -> str:
    """A row a package, from the top down: the packages that it imports."""
    lines = ["| package | imports |", "|---|---|"]
    for name in ORDER:
        found = {each.imported for each in imports if each.importer == name}
        names = ", ".join(each for each in ORDER if each in found) or "–"
        lines.append(f"| **{name}** | {names} |")
    return "\n".join(lines) + "\n"


def table_of_steps(steps: list[Step]) -> str:
    """A row a step: what it reads, by the step that made it, and what it puts out."""
    lines = ["| step | reads | of the cycle before | puts out |", "|---|---|---|---|"]
    for step in steps:
        reads = _by_source(step.reads)
        last = _by_source(step.reads_last_cycle)
        outputs = ", ".join(f"`{each}`" for each in step.outputs) or "–"
        lines.append(f"| **{step.name}** | {reads} | {last} | {outputs} |")
    return "\n".join(lines) + "\n"


def _by_source(reads: set[Output]) -> str:
    grouped: dict[str, list[str]] = {}
    for name, output in sorted(reads):
        grouped.setdefault(name, []).extend([f"`{output}`"] if output else [])
    texts = [f"{name} {', '.join(outputs)}".strip() for name, outputs in grouped.items()]
    return "; ".join(texts) or "–"


def draw_data_way(steps: list[Step]) -> str:
    """The steps from top to bottom, an arc for what is handed on past the next step."""
    width, left, box, height, gap = 760, 150, 430, 40, 16
    spacing = height + gap
    places = {step.name: 46 + place * spacing for place, step in enumerate(steps)}
    loop = [places[step.name] for step in steps if step.in_loop]
    bottom = 46 + len(places) * spacing + 34
    parts = [_svg(width, bottom, "The data's way through the pipeline, read from its source")]
    if loop:
        parts.append(
            f'<rect x="{left - 96}" y="{loop[0] - 10}" width="{box + 192}" '
            f'height="{loop[-1] - loop[0] + height + 20}" rx="12" fill="#f0f4f8"/>'
        )
        parts.append(_text(left - 86, loop[0] + 8, "every cycle", 11, _PALE))
    parts.append(_text(left, 24, "once a run: what is known of every image", 12, _PALE))
    right = left + box
    for source, target in handed_on(steps):
        top, end = places[source] + height, places[target]
        if end - top == gap:
            parts.append(_path(f"M{left + box / 2} {top} V{end - 3}", _INK, "ink"))
            continue
        first, last = top - height // 2, end + height // 2
        bend = right + 18 + 0.1 * (last - first)
        parts.append(
            _path(
                f"M{right} {first} C{bend} {first} {bend} {last} {right + 3} {last}", _LINE, "line"
            )
        )
    for step in steps:
        for source in sorted({name for name, _ in step.reads_last_cycle}):
            top, end = places[source] + 26, places[step.name] + 14
            bend = left - 26 - 0.11 * abs(top - end)
            parts.append(
                _path(f"M{left} {top} C{bend} {top} {bend} {end} {left - 3} {end}", _BACK, "back")
            )
    for step in steps:
        parts.append(_box(step, left, places[step.name], box, height))
    y = bottom - 12
    parts.append(_text(left, y, "grey: handed on to a later step", 11, _PALE))
    parts.append(_text(left + 200, y, "orange: handed on to the next cycle", 11, _BACK))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(step: Step, x: float, y: float, width: float, height: float) -> str:
    outputs = ", ".join(step.outputs).replace("_", " ")
    outputs = outputs if len(outputs) < 75 else outputs[:72] + " …"
    weight = "bold" if step.in_loop else "normal"
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="#fff" '
        f'stroke="{_LINE}"/>'
        + _text(x + 12, y + 17, step.name, 13, _INK, weight)
        + _text(x + 12, y + 32, outputs, 10.5, _PALE)
    )


def _svg(width: float, height: float, title: str) -> str:
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{colour}"/></marker>'
        for name, colour in (("ink", _INK), ("line", _LINE), ("back", _BACK))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'width="{width}" height="{height}" style="{_STYLE}">\n<title>{escape(title)}</title>\n'
        f'<defs>{heads}</defs>\n<rect width="{width}" height="{height}" fill="#fff"/>'
    )


def _path(path: str, colour: str, head: str) -> str:
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.4" '
        f'marker-end="url(#{head})"/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    size: float,
    colour: str,
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" font-weight="{weight}" '
        f'text-anchor="start" >{escape(text)}</text>'
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
