from __future__ import annotations

import pytest
from click.testing import CliRunner

import cli.studio
from cli.studio import command_of, studio
from coti.core.errors import ConfigError


def test_it_listens_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --host; with another it says that nobody logs in. (The server isn't started.)"""
    started: list[list[str]] = []
    monkeypatch.setattr(cli.studio.os, "execv", lambda _, words: started.append(words))
    done = CliRunner().invoke(studio, [], catch_exceptions=False)
    assert "Studio: http://127.0.0.1:8501" in done.output
    assert "Note" not in done.output
    assert "--server.address=127.0.0.1" in started[0]
    done = CliRunner().invoke(studio, ["--host", "0.0.0.0"], catch_exceptions=False)
    assert "0.0.0.0 can be reached from other machines" in done.output


def test_it_sends_nothing_home() -> None:
    """Usage statistics are off, no browser is opened."""
    words = command_of("127.0.0.1", 9000)
    assert "--browser.gatherUsageStats=false" in words
    assert "--server.headless=true" in words


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence."""
    monkeypatch.setattr(cli.studio, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'coti\[studio\]'"):
        CliRunner().invoke(studio, [], catch_exceptions=False)
