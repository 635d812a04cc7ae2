"""The tables of `coti registry`."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from cli.registry_commands import registry
from cli.text_table import print_table
from coti.metrics.table import METRICS
from ops.registry.embedding_registry import EmbeddingRegistry


@pytest.mark.parametrize("value", ["boot [/red]", "[red]", "[bold]a[/bold]", ":boot:", "[@click]"])
def test_a_strangers_text_is_printed_as_it_is(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a heading and in a cell: brackets are no markup of rich's, colons no emoji."""
    print_table([value, "b"], [[value, "x"], [[value, value], 1.5]])
    heading, first, second = (line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert heading.split("  ")[0] == value
    assert first.startswith(f"{value} ")
    assert second.startswith(f"{value}, {value} ")


@pytest.mark.parametrize("command", ["list", "show", "compare"])
def test_metrics_have_the_tables_labels_and_decimals(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the report and every other reader write them; a missing one is a dash. --json has them
    unrounded, and a missing one is null."""
    metrics: dict[str, Any] = {
        "fd_judge": 0.123456789,
        "r_precision": 0.98765,
        "phi_ref": None,
        "judge_hash": "j",
    }
    version = SimpleNamespace(version="1", run_id="run", tags={}, source="s3://b/x")
    entry: Any = SimpleNamespace(
        name="boot",
        client=None,
        versions=lambda: [version],
        version=lambda which: version,
        aliases=lambda version: ["champion"],
    )
    for module in ("commands", "entry"):
        monkeypatch.setattr(f"cli.registry_{module}.registry_client", lambda: None)
    monkeypatch.setattr(EmbeddingRegistry, "find", lambda client, concept: entry)
    monkeypatch.setattr("ops.registry.embedding_registry.metrics_of", lambda version: metrics)
    monkeypatch.setattr("ops.registry.audit.entries", lambda client, name: [])
    done = CliRunner().invoke(registry, [command, "boot"], catch_exceptions=False)
    for name in ("fd_judge", "r_precision"):
        assert METRICS[name].label in done.output
        assert f" {METRICS[name].format(metrics[name])} " in done.output.replace("\n", " \n")
    assert METRICS["phi_ref"].label in done.output
    assert "–" in done.output
    done = CliRunner().invoke(registry, [command, "boot", "--json"], catch_exceptions=False)
    values = json.loads(done.output)
    if command == "list":
        (values,) = values
        assert (values["fd_judge"], values["phi_ref"]) == (metrics["fd_judge"], None)
        return
    one = values if command == "show" else values["versions"][0]
    assert (one["version"], one["aliases"], one["metrics"]) == (1, ["champion"], metrics)
    assert values["concept"] == "boot"
    assert values.get("unlike", []) == values.get("audit", []) == []
