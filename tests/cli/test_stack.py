"""What `coti stack check` says to a person, to a script, and by its exit code."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cli.stack import stack
from ops.stack.check_stack import Finding

GOOD = Finding("ok", "artifact_store x (s3)", "answers")
BAD = Finding("FAIL", "ZenML store", "is gone: start it.")


@pytest.mark.parametrize(("found", "code"), [([GOOD], 0), ([GOOD, BAD], 1)])
def test_the_same_is_said_to_both(
    found: list[Finding], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every finding once; 1 where something does not work."""
    monkeypatch.setattr("cli.stack.quiet_terminal", lambda again=False: None)
    monkeypatch.setattr("ops.stack.check_stack.check_stack", lambda gpu: iter(found))
    shown = CliRunner().invoke(stack, ["check"])
    values = CliRunner().invoke(stack, ["check", "--json"])
    assert (shown.exit_code, values.exit_code) == (code, code)
    assert len(shown.output.splitlines()) == len(found)
    read = json.loads(values.output)
    assert [(each["state"], each["what"], each["said"]) for each in read] == [
        (each.state, each.what, each.said) for each in found
    ]
