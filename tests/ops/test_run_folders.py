"""The folders of runs: which are listed, and what removing one leaves alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coti.core.errors import ConfigError, StoreError
from coti.core.whole_files import MARKER, point_link, whole_folder
from ops.stack.locations import LATEST
from ops.tracking.killed_runs import this_process
from ops.tracking.run_folders import (
    EMBEDDING,
    find_run,
    is_live,
    remove_run,
    run_folders,
    write_summary,
)


def make_run(output: Path, name: str, **summary: Any) -> Path:
    """A run's folder as `write_outputs` leaves it."""
    values = {
        "concept": "boot",
        "seed": 0,
        "outcome": "worked",
        "cycles": 6,
        "kept_cycle": 5,
        "mlflow_run": "r",
    }
    with whole_folder(output / name, replace=True) as part:
        (part / EMBEDDING).write_bytes(b"x" * 100)
        write_summary(part, **{**values, **summary})
    point_link(output / LATEST, name)
    return output / name


def test_a_run_says_what_it_was(tmp_path: Path) -> None:
    """What its file holds, and how large it is; by its name or as the newest."""
    make_run(tmp_path, "one", seed=3)
    (run,) = run_folders(str(tmp_path))
    assert (run.concept, run.seed, run.outcome, run.kept_cycle) == ("boot", 3, "worked", 5)
    assert run.bytes > 200
    assert run.finished is not None
    assert run.finished.endswith("+00:00")
    assert find_run("latest", str(tmp_path)) == find_run("one", str(tmp_path)) == run


def test_only_folders_of_runs_of_ours_are_runs(tmp_path: Path) -> None:
    """Not the user's with the same files, not ours without an embedding, no link, no file."""
    make_run(tmp_path, "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / EMBEDDING).write_bytes(b"mine")
    with whole_folder(tmp_path / "pool", replace=True) as part:
        (part / "photo.png").write_bytes(b"x")
    (tmp_path / "linked").symlink_to("run")
    (tmp_path / "file").touch()
    assert [run.name for run in run_folders(str(tmp_path))] == ["run"]
    for name in ("mine", "pool", "linked", "file"):
        with pytest.raises(StoreError, match="is no run's folder of ours"):
            find_run(name, str(tmp_path))
    with pytest.raises(StoreError, match="does not exist"):
        find_run("nothing", str(tmp_path))
    for name in ("..", "../x", "/etc", ".hidden"):
        with pytest.raises(ConfigError, match="no plain name"):
            find_run(name, str(tmp_path))
    assert run_folders(str(tmp_path / "nowhere")) == []


@pytest.mark.parametrize("text", ["", "[1]", '{"seed": "x", "concept": 5, "finished": null}'])
def test_a_damaged_summary_leaves_a_run_that_can_be_removed(text: str, tmp_path: Path) -> None:
    """What it does not tell is not known."""
    (make_run(tmp_path, "run") / "run.json").write_text(text)
    (run,) = run_folders(str(tmp_path))
    assert (run.concept, run.seed, run.finished) == (None, None, None)
    remove_run(run)
    assert list(tmp_path.iterdir()) == []


def test_what_is_removed_follows_no_link(tmp_path: Path) -> None:
    """What a link inside points to stays; the link to the newest names what is left, then goes."""
    output, kept = tmp_path / "out", tmp_path / "kept"
    kept.mkdir()
    (kept / "photo.png").write_bytes(b"mine")
    make_run(output, "first")
    (make_run(output, "second") / "link").symlink_to(kept)
    remove_run(find_run("second", str(output)))
    assert (kept / "photo.png").read_bytes() == b"mine"
    assert (output / LATEST).readlink() == Path("first")
    remove_run(find_run("first", str(output)))
    assert list(output.iterdir()) == []


def test_a_folder_that_is_not_ours_any_more_is_not_removed(tmp_path: Path) -> None:
    """Its marker gone, or a link in its place, since it was looked at."""
    for name in ("run", "other"):
        make_run(tmp_path, name)
    run, other = run_folders(str(tmp_path))
    (run.folder / MARKER).unlink()
    other.folder.rename(tmp_path / "kept")
    other.folder.symlink_to("kept")
    for each in (run, other):
        with pytest.raises(StoreError, match="no folder of ours"):
            remove_run(each)
    assert (tmp_path / "kept" / EMBEDDING).is_file()
    assert (run.folder / EMBEDDING).is_file()


@pytest.mark.parametrize(
    ("finished", "process", "live"),
    [(True, "", False), (False, "THIS", True), (False, "", True), (False, "KILLED", False)],
)
def test_a_run_is_live_unless_it_is_known_to_have_ended(
    finished: bool, process: str, live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZenML's word, or a process of this machine that is there no more."""
    # Not among the parameters: each of several test processes would have others.
    own = this_process()
    process = {"THIS": own, "KILLED": own.rpartition(" ")[0] + " 1.0"}.get(process, process)
    metadata = {"coti_process": process} if process else {}
    run = SimpleNamespace(status=SimpleNamespace(is_finished=finished), run_metadata=metadata)
    client = SimpleNamespace(list_pipeline_runs=lambda **_: SimpleNamespace(items=[run]))
    monkeypatch.setattr("zenml.client.Client", lambda: client)
    assert is_live("run") == live
