from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from coti.commands.pool import pool
from coti.core.errors import ConfigError, CotiError
from coti.pool.check import settings_with
from coti.pool.manifest import COLUMNS, read_manifest, to_frame, write_manifest
from coti.settings import PoolSettings


def run(*arguments: str) -> Result | SimpleNamespace:
    """The command's result, its error as :func:`coti.commands.main.main` says it."""
    done = CliRunner().invoke(pool, list(arguments))
    if isinstance(done.exception, CotiError):
        return SimpleNamespace(exit_code=1, output=f"{done.output}Error: {done.exception}\n")
    return done


def test_a_terminal_without_the_letters_shows_what_it_can(tmp_path: Path) -> None:
    """Names in other letters, or that are no text, are no traceback."""
    for name, source in (("one", "a"), ("two", "鞋 → b")):
        (tmp_path / name).mkdir()
        row = {"id": source, "source": source, "status": "accepted"}
        write_manifest(to_frame([row]), tmp_path / name / "manifest.parquet")
    words = [
        "-m",
        "coti.commands.main",
        "pool",
        "diff",
        str(tmp_path / "one"),
        str(tmp_path / "two"),
    ]
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u978b \u2192 b" in done.stdout


def _settings(part: Any, before: str = "") -> Iterator[str]:
    for each in dataclasses.fields(part):
        value = getattr(part, each.name)
        inner = dataclasses.is_dataclass(value)
        yield from _settings(value, f"{each.name}.") if inner else (f"{before}{each.name}",)


@pytest.mark.parametrize("key", list(_settings(PoolSettings())))
@pytest.mark.parametrize("behind", [".x", ".", ".x.y"])
def test_a_setting_has_no_key_below_it(key: str, behind: str) -> None:
    """What stands behind a dot is not left out without a word."""
    with pytest.raises(ConfigError, match="There is no pool setting"):
        settings_with([f"{key}{behind}=3"])


def test_what_is_no_file_is_called_so(tmp_path: Path) -> None:
    """A named pipe has a table's name and is none."""
    os.mkfifo(tmp_path / "pipe.csv")
    done = run("check", str(tmp_path / "pipe.csv"), "--output", str(tmp_path / "out"))
    assert "neither a file nor a folder but a pipe" in done.output


def test_check_and_diff_from_folder_to_report(tmp_path: Path) -> None:
    """``check`` prints sums that add up and writes report and manifest; ``diff`` says what
    changed between two checks.
    """
    root = tmp_path / os.fsdecode(b"pool \xff")  # as good a name as any
    root.mkdir()
    Image.linear_gradient("L").save(root / "good.png")
    (root / "bad.jpg").write_bytes(b"<html>")
    (root / "good.txt").write_text("a <b>gradient</b>")
    first = run("check", str(root), "--output", str(tmp_path / "one"))
    assert first.exit_code == 0, first.output
    assert ": folder" in first.output
    assert "2 inputs = 1 accepted + 1 quarantined" in first.output
    manifest = read_manifest(tmp_path / "one")
    assert list(manifest.columns) == list(COLUMNS)
    page = (tmp_path / "one" / "report.html").read_text("utf-8")
    assert "not_an_image" in page
    assert "a &lt;b&gt;gradient&lt;/b&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert json.loads((tmp_path / "one" / "validation.json").read_text())["counts"] == {
        "accepted": 1,
        "quarantined": 1,
        "not_an_image": 1,
    }
    Image.radial_gradient("L").save(root / "new.png")
    (root / "good.txt").write_text("another caption")
    (root / "bad.jpg").unlink()
    second = run("check", str(root), "--output", str(tmp_path / "two"), "--json")
    assert second.exit_code == 0
    values = json.loads(second.output)
    assert values["counts"] == {"accepted": 2, "quarantined": 0}
    assert (values["kind"], values["problem"]) == ("folder", "")
    assert values["report"] == str(tmp_path / "two" / "report.html")
    changed = run("diff", str(tmp_path / "one"), str(tmp_path / "two"))
    assert changed.output.splitlines() == [
        *("added: 1", "  new.png", "removed: 1", "  bad.jpg", "recaptioned: 1", "  good.png")
    ]
    as_json = run("diff", str(tmp_path / "one"), str(tmp_path / "two"), "--json")
    assert json.loads(as_json.output)["added"] == ["new.png"]
    assert run("diff", str(tmp_path / "one"), str(tmp_path / "one")).output == "The same pool.\n"


@pytest.mark.slow
def test_a_second_check_into_the_same_folder_says_what_drifted(tmp_path: Path) -> None:
    """The manifest that is already there is what the pool was; an unchanged pool says nothing."""
    root, out = tmp_path / "pool", str(tmp_path / "out")
    root.mkdir()
    Image.linear_gradient("L").save(root / "a.png")
    run("check", str(root), "--output", out)
    assert "mean width" not in run("check", str(root), "--output", out).output
    Image.linear_gradient("L").resize((64, 64)).save(root / "a.png")
    assert "mean width was 256 and is 64" in run("check", str(root), "--output", out).output
    Image.linear_gradient("L").resize((200, 200)).save(root / "a.png")
    stopped = run("check", str(root), "--output", out, "--set", "drift=stop")
    assert stopped.exit_code == 1  # against the version before, which was said and kept
    assert "Error: The pool has drifted: mean width was 64 and is 200" in stopped.output


def test_a_bad_pool_fails_with_its_report(tmp_path: Path) -> None:
    """A pool without a good image ends with a sentence and status 1, and the report is there."""
    root = tmp_path / "pool"
    root.mkdir()
    (root / "bad.jpg").write_bytes(b"")
    result = run("check", str(root), "--output", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "Error: Only 0 of 1 inputs of the pool can be used" in result.output
    assert (tmp_path / "out" / "report.html").exists()


def test_a_missing_pool_is_one_sentence(tmp_path: Path) -> None:
    """No traceback, no output folder."""
    result = run("check", str(tmp_path / "none"), "--output", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert result.output.startswith("Error: The pool ")
    assert result.output.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_no_manifest_is_named(tmp_path: Path) -> None:
    """``diff`` on anything else says what to run first."""
    result = run("diff", str(tmp_path), str(tmp_path))
    assert result.exit_code == 1
    assert "coti pool check" in result.output


def test_settings_can_be_changed_on_the_command_line() -> None:
    """Numbers, lists and nested keys are parsed by their types."""
    settings = settings_with(
        [
            "min_side=64",
            "fetch.timeout=5",
            "reject_quality=dark,blurry",
            "pool_rules.kind=webdataset",
        ]
    )
    assert settings.min_side == 64
    assert settings.fetch.timeout == 5.0
    assert settings.reject_quality == ("dark", "blurry")
    assert settings.kind == "webdataset"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("min_side", "not KEY=VALUE"),
        ("minside=3", "no pool setting 'minside'"),
        ("min_side=small", "does not fit"),
        ("fetch=3", "is a group"),
    ],
)
def test_settings_that_do_not_exist_or_fit_are_refused(change: str, said: str) -> None:
    """Each names the key and the remedy."""
    with pytest.raises(ConfigError, match=said):
        settings_with([change])


def test_a_kind_of_pool_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A kind may be registered from outside, so it is looked up when the pool is opened."""
    (tmp_path / "pool").mkdir()
    result = run("check", str(tmp_path / "pool"), "--output", str(tmp_path / "x"), "--set=kind=ftp")
    assert result.exit_code == 1
    assert "There is no kind of pool 'ftp'" in result.output
    assert "folder" in result.output
    assert not (tmp_path / "x").exists()
