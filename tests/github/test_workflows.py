"""The workflow files: valid, hardened, and honest about what they may do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


WRITES = {
    ("promote", "promote"): {"id-token"},
    ("retrain", "retrain"): {"id-token"},
    ("locks", "propose"): {"contents", "pull-requests"},
    ("image", "publish"): {"id-token", "packages", "attestations"},
}
"""Workflow and job -> what it may write; all others only read."""
INSTALLS = re.compile(
    r"\bmake\b|\bpip\b|\buvx?\b|\bapt(-get)?\b|\bnpm\b|docker (buildx )?build|setup-python"
)
"""What runs other people's code to put something into place."""


def _read(path: Path) -> dict[str, Any]:
    # YAML 1.1 takes the key `on` for true.
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["on"] = content.pop(True)
    return dict(content)


def _tool(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name(name)
    return subprocess.run([script, *words], capture_output=True, text=True, check=False)


def test_they_are_valid() -> None:
    """Against the published schema of workflow files."""
    done = _tool(
        "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, FILES)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    bot = str(ROOT / ".github" / "dependabot.yml")
    done = _tool("check-jsonschema", "--builtin-schema", "vendor.dependabot", bot)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_security_linter_finds_nothing() -> None:
    """zizmor: template injection, credentials left behind, dangerous triggers, unpinned uses."""
    files = [*FILES, ROOT / ".github" / "dependabot.yml"]
    done = _tool("zizmor", "--offline", "--no-progress", "--no-config", *map(str, files))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_least_rights(path: Path) -> None:
    """Nothing at the top, a list below; actions by commit; no checkout that keeps its token."""
    content = _read(path)
    assert content["permissions"] == {}
    assert "pull_request_target" not in content["on"]
    assert "workflow_run" not in content["on"]
    for name, job in content["jobs"].items():
        written = {name for name, right in job["permissions"].items() if right == "write"}
        assert written <= WRITES.get((path.stem, name), set())
        assert job["timeout-minutes"]
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w/.-]+@[0-9a-f]{40}", step["uses"])
            if "actions/checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
            assert "${{" not in step.get("run", ""), "an expression in a script can inject"


def test_secrets_are_kept_from_pull_requests() -> None:
    """What runs on a pull request sees no secret; what sees secrets runs on none."""
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert not ("secrets." in text and "pull_request" in _read(path)["on"])
        assert not re.search(r"AWS_SECRET_ACCESS_KEY\s*[:=]|secrets\.AWS", text), "a long-lived key"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_job_that_installs_holds_no_secret(path: Path) -> None:
    """Nor an identity, nor a right to write: what a package runs could take any of them along."""
    for name, job in _read(path)["jobs"].items():
        steps = [f"{step.get('run', '')}{step.get('uses', '')}" for step in job["steps"]]
        if any(INSTALLS.search(step) for step in steps):
            assert job["permissions"] == {"contents": "read"}, name
            assert "environment" not in job, name
            assert not re.search(r"secrets\.|github\.token", json.dumps(job)), name


def test_only_hashed_files_are_installed() -> None:
    """Wherever pip or uv is called: the makefile, the image, the workflows."""
    places = [*FILES, ROOT / "Makefile", ROOT / "k8s" / "Dockerfile"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in places).replace("\\\n", " ")
    calls = [line for line in text.splitlines() if re.search(r"\bpip install\b", line)]
    assert len(calls) >= 4
    for call in calls:
        for one in re.split(r"\bpip install\b", call)[1:]:
            hashed = "--require-hashes" in one or "--no-deps --no-build-isolation -e ." in one
            assert hashed, one
    for lock in ("requirements.lock", "k8s/requirements.lock", ".github/audit.lock"):
        entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text(encoding="utf-8"))
        assert len(entries) > 40
        assert all(re.match(r"\S+==\S+", e) and "--hash=sha256:" in e for e in entries), lock


def test_the_clouds_key_lasts_as_long_as_training() -> None:
    """Stack s3 trains on GitHub's own runner, which ends after six hours; a key after one."""
    job = _read(ROOT / ".github/workflows/retrain.yml")["jobs"]["retrain"]
    (login,) = (each for each in job["steps"] if "aws-actions/" in each.get("uses", ""))
    assert job["timeout-minutes"] <= 360
    assert login["with"]["role-duration-seconds"] >= 60 * job["timeout-minutes"]


def test_one_run_a_concept_at_a_time() -> None:
    """Concurrency by concept, and nothing is cancelled in mid-run."""
    retrain = _read(ROOT / ".github/workflows/retrain.yml")
    promote = _read(ROOT / ".github/workflows/promote.yml")
    for group in (retrain["jobs"]["retrain"]["concurrency"], promote["concurrency"]):
        assert "concept" in group["group"]
        assert group["cancel-in-progress"] is False
    assert promote["jobs"]["promote"]["environment"] == "production"
    assert set(retrain["on"]) == {"workflow_dispatch", "schedule", "push", "repository_dispatch"}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("", "ankle_boot"), ("ankle_boot", "ankle_boot"), ("$(id)", None), ("../secret", None)],
)
def test_only_run_files_that_exist_are_taken(wanted: str, said: str | None) -> None:
    """A name from outside, a dispatch's payload, is looked up, never used."""
    done = subprocess.run(
        [sys.executable, ".github/scripts/list_concepts.py"],
        cwd=ROOT,
        env={**os.environ, "WANTED": wanted},
        capture_output=True,
        text=True,
        check=False,
    )
    if said is None:
        assert done.returncode == 1
        assert "concepts=" not in done.stdout
    else:
        assert said in json.loads(done.stdout.removeprefix("concepts="))


@pytest.mark.parametrize("code", [0, 1, 3])
@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_what_came_of_a_promotion_is_in_the_summary(tmp_path: Path, action: str, code: int) -> None:
    """A refusal, too; the job then ends with its code. Stand-ins say which words were given."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {
        "coti": f'[ "$1" = stack ] && exit 0\nprintf "<%s>" "$@"\necho why >&2\nexit {code}\n',
        "docker": 'while [ "$1" != "$COTI_IMAGE" ]; do shift; done\nshift\nexec "$@"\n',
    }.items():
        (programs / name).write_text(f"#!/bin/bash\n{script}")
        (programs / name).chmod(0o755)
    steps = _read(ROOT / ".github/workflows/promote.yml")["jobs"]["promote"]["steps"]
    (script,) = (each for each in steps if "ACTION" in each.get("env", {}))
    assert script["shell"] == "bash"
    page = tmp_path / "summary.md"
    for version, word in (("", "<challenger>"), ("7", "<7>")):
        page.unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script["run"]],
            cwd=tmp_path,
            env={
                **os.environ,
                "PATH": f"{programs}:{os.environ['PATH']}",
                "COTI_IMAGE": "ghcr.io/o/coti@sha256:0",
                "CONCEPT": "ankle boot",
                "ACTION": action,
                "VERSION": version,
                "WHY": "two words",
                "GITHUB_STEP_SUMMARY": str(page),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        if action == "rollback":
            word = "<--to><7>" if version else ""
        said = page.read_text()
        assert f"<registry><{action}><ankle boot>{word}<--why><two words>" in said
        assert "why" in said
