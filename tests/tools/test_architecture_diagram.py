"""The architecture's diagram and tables are read from the code, and say what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.quiet import ROOT
from tools.architecture_diagram import draw_data_way, main, table_of_packages, table_of_steps
from tools.data_way import CYCLES, Output, Recorder, Step, handed_on
from tools.package_imports import Import, circles, downward, read_imports

OUTPUTS = {
    "find": ("place",),
    "load": ("pool",),
    "pick": ("chosen", "rest"),
    "train": ("adapter",),
    "judge": ("verdict",),
    "write": (),
}


@pytest.fixture
def steps() -> list[Step]:
    """Those of a pipeline of two cycles."""
    recorder = Recorder(OUTPUTS, cycles=CYCLES - 2)
    find, load, pick, train, judge, write = map(recorder.step, OUTPUTS)
    pool = load(place=find())
    chosen = scores = None
    adapters: list[Output] = []
    go_on = True
    while go_on:
        chosen, _ = recorder(pick, pool=pool, before=chosen, scores=scores)
        adapter = recorder(train, chosen=chosen, pool=pool)
        adapters.append(adapter)
        scores = recorder(judge, given={"adapter": adapter})
        go_on = recorder.goes_on(scores)
    recorder(write, adapters=adapters, pool=pool)
    return list(recorder.called.values())


def test_the_wiring_says_who_reads_what_of_which_cycle(steps: list[Step]) -> None:
    """Through keywords, lists, mappings and unpacked outputs."""
    found = {step.name: step for step in steps}
    assert list(found) == ["find", "load", "pick", "train", "judge", "write"]
    assert [name for name, step in found.items() if step.in_loop] == ["pick", "train", "judge"]
    assert found["load"].reads == {("find", "place")}
    assert found["pick"].reads == {("load", "pool")}
    assert found["pick"].reads_last_cycle == {("pick", "chosen"), ("judge", "verdict")}
    assert found["train"].reads == {("pick", "chosen"), ("load", "pool")}
    assert found["write"].reads == {("train", "adapter"), ("load", "pool")}


def test_arrows_that_others_imply_are_left_out(steps: list[Step]) -> None:
    """train reads the pool, but through pick it is known to come after it."""
    assert handed_on(steps) == [
        ("find", "load"),
        ("load", "pick"),
        ("pick", "train"),
        ("train", "judge"),
        ("train", "write"),
    ]


def test_the_diagram_has_every_step_and_the_table_every_output(steps: list[Step]) -> None:
    """Nothing that the code has is missing in what is shown."""
    diagram, table = draw_data_way(steps), table_of_steps(steps)
    for step in steps:
        assert f">{step.name}</text>" in diagram
        assert f"| **{step.name}** |" in table
    assert "pick `chosen`" in table


def test_an_import_of_what_is_below_is_found(tmp_path: Path) -> None:
    """In a function, too; the package's own name and version are no import of what is below."""
    for name in ("core", "loop"):
        (tmp_path / "coti" / name).mkdir(parents=True)
    (tmp_path / "coti" / "core" / "images.py").write_text(
        "from coti import __version__\n\n\ndef late():\n    from coti.loop import learn\n"
    )
    (tmp_path / "coti" / "loop" / "learn.py").write_text("import coti.core.images\n")
    imports = read_imports(tmp_path)
    wrong = Import("coti.core", "coti.loop", "coti/core/images.py:5")
    assert set(imports) == {wrong, Import("coti.loop", "coti.core", "coti/loop/learn.py:1")}
    assert downward(imports) == [wrong]
    assert "| **coti.loop** | coti.core |" in table_of_packages(imports)


def test_no_package_here_imports_one_below_it() -> None:
    """Arrows point upwards."""
    assert [f"{each.place} imports {each.imported}" for each in downward(read_imports(ROOT))] == []


def test_modules_that_reach_each_other_are_found(tmp_path: Path) -> None:
    """Through a third module and from inside a function, too; who only imports them is not."""
    for place, text in {
        "coti/core/__init__.py": "",
        "coti/core/a.py": "from coti.core import b\n",
        "coti/core/b.py": "def late():\n    import coti.core.c\n",
        "coti/core/c.py": "from coti.core.a import something\n",
        "steps/d.py": "from coti.core.a import something\n",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    assert circles(tmp_path) == [["coti.core.a", "coti.core.b", "coti.core.c"]]


def test_no_modules_here_import_each_other() -> None:
    """An import inside a function only hides it."""
    assert circles(ROOT) == []


def test_no_two_modules_share_a_name() -> None:
    """But for a seam's protocol and registry, and a step and the station that it calls."""
    folders = ("coti", "ops", "steps", "pipelines", "materializers", "cli", "benchmarks", "tools")
    seen: dict[str, list[Path]] = {}
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        seen.setdefault(path.name, []).append(path.relative_to(ROOT).parent)
    for name in ("__init__.py", "protocol.py", "registry.py"):
        del seen[name]
    twice = {name: places for name, places in seen.items() if len(places) > 1}
    assert {frozenset(places) for places in twice.values()} == {
        frozenset({Path("coti/loop"), Path("steps")})
    }, twice


def test_what_is_committed_is_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m tools.architecture_diagram` writes it."""
    monkeypatch.setattr("tools.architecture_diagram.downward", lambda imports: [])
    monkeypatch.setattr("tools.architecture_diagram.circles", lambda root: [])
    main("--check")
