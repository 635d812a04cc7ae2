"""The architecture's pictures are read from the code, and say what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.quiet import ROOT
from tools.architecture_picture import draw_data_way, draw_packages, main, table_of_steps
from tools.data_way import Wiring, read_wiring
from tools.package_imports import Import, downward, read_imports

STEPS = {
    "find": 'def find(place: str) -> Annotated[str, "place"]: ...',
    "load": 'def load(place: str) -> Annotated[int, "pool"]: ...',
    "pick": "def pick(pool: int, before: int | None, scores: int | None)"
    ' -> tuple[Annotated[int, "chosen"], Annotated[int, "rest"]]: ...',
    "train": "def train(chosen: int, pool: int) -> Annotated[int, Config(name='adapter')]: ...",
    "judge": 'def judge(adapter: int) -> Annotated[int, "verdict"]: ...',
    "write": "def write(adapters: list[int], pool: int) -> None: ...",
}
PIPELINE = """
class Dynamic:
    def __call__(self, step, **inputs):
        return step(**inputs)

    def load_all(self, place):
        return load_all(find(place))

def load_all(place):
    return load(place)

def learn(loop):
    pool = loop.load_all("here")
    chosen = scores = None
    adapters = []
    while True:
        if chosen:
            before = chosen
        chosen, rest = loop(pick, pool=pool, before=chosen, scores=scores)
        adapter = loop(train, chosen=chosen, pool=pool)
        adapters.append(adapter)
        scores = loop(judge, adapter=adapter)
    write(adapters=adapters, pool=pool)

@pipeline
def coti_concept():
    learn(Dynamic())
"""


def project(root: Path, pipeline: str = PIPELINE) -> Path:
    """A repository of six steps."""
    (root / "steps").mkdir()
    (root / "pipelines").mkdir()
    for name, text in STEPS.items():
        (root / "steps" / f"{name}.py").write_text(f"@step\n{text}\n", encoding="utf-8")
    (root / "pipelines" / "concept.py").write_text(pipeline, encoding="utf-8")
    return root


def wiring_of(root: Path) -> Wiring:
    """Of the project there."""
    return read_wiring(project(root))


def test_the_wiring_says_who_reads_what_of_which_cycle(tmp_path: Path) -> None:
    """Through methods, keywords, lists and unpacked outputs."""
    wiring = wiring_of(tmp_path)
    steps = {step.name: step for step in wiring.steps}
    assert list(steps) == ["find", "load", "pick", "train", "judge", "write"]
    assert [name for name, step in steps.items() if step.in_loop] == ["pick", "train", "judge"]
    assert steps["load"].reads == {("find", "place")}
    assert steps["pick"].reads == {("load", "pool")}
    assert steps["pick"].reads_last_cycle == {("pick", "chosen"), ("judge", "verdict")}
    assert steps["train"].reads == {("pick", "chosen"), ("load", "pool")}
    assert steps["write"].reads == {("train", "adapter"), ("load", "pool")}


def test_arrows_that_others_imply_are_left_out(tmp_path: Path) -> None:
    """train reads the pool, but through pick it is known to come after it."""
    assert wiring_of(tmp_path).handed_on() == [
        ("find", "load"),
        ("load", "pick"),
        ("pick", "train"),
        ("train", "judge"),
        ("train", "write"),
    ]


def test_the_picture_has_every_step_and_the_table_every_output(tmp_path: Path) -> None:
    """Nothing that the code has is missing in what is shown."""
    wiring = wiring_of(tmp_path)
    picture, table = draw_data_way(wiring), table_of_steps(wiring)
    for step in wiring.steps:
        assert f">{step.name}</text>" in picture
        assert f"| **{step.name}** |" in table
    assert "pick `chosen`" in table


def test_a_pipeline_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Not an empty picture."""
    root = project(tmp_path, "def other(): ...")
    with pytest.raises(ValueError, match="no function 'coti_concept'"):
        read_wiring(root)
    with pytest.raises(ValueError, match="calls no step"):
        read_wiring(root, "other")


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
    assert draw_packages(imports).count("#c92a2a") == 1


def test_no_package_here_imports_one_below_it() -> None:
    """Arrows point upwards."""
    assert [f"{each.place} imports {each.imported}" for each in downward(read_imports(ROOT))] == []


def test_what_is_committed_is_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m tools.architecture_picture` writes it."""
    monkeypatch.setattr("tools.architecture_picture.downward", lambda imports: [])
    main("--check")
