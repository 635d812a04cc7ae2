"""A port that is in use: one line, before any server starts."""

from __future__ import annotations

import socket

import pytest
from click.testing import CliRunner

from cli.ports import require_port
from cli.studio import studio
from cli.ui import ui
from coti.core.errors import ConfigError


@pytest.mark.parametrize("command", [ui, studio], ids=["ui", "studio"])
def test_a_port_in_use_is_said(command: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its number, with the option that names another."""
    monkeypatch.setattr("cli.studio.quiet_terminal", lambda: None)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        port = server.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} of 127.0.0.1 is in use: .* --port"):
            CliRunner().invoke(command, ["--port", str(port)], catch_exceptions=False)  # type: ignore[arg-type]
    require_port("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.1"])
def test_a_host_that_is_not_this_machine(host: str) -> None:
    """Nor a traceback."""
    with pytest.raises(ConfigError, match="cannot be listened on"):
        require_port(host, 8501)
