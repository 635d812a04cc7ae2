"""``coti studio``: a page for people who would rather look."""

from __future__ import annotations

import ipaddress
import os
import sys
from importlib.util import find_spec

import click

from coti.core.errors import ConfigError
from ops.quiet import ROOT, quiet_terminal

__all__ = ["command_of", "studio"]

PAGE = ROOT / "cli" / "studio_page.py"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8501, show_default=True, help="Port on this machine.")
def studio(host: str, port: int) -> None:
    """Serve the studio: a concept's versions side by side, its training, what it picked.

    On this machine alone, unless --host says otherwise; it has no log-in.
    """
    quiet_terminal()
    if find_spec("streamlit") is None:
        raise ConfigError(
            "coti studio needs the extra `studio`: install it with `pip install 'coti[studio]'`."
        )
    if not _is_loopback(host):
        click.echo(f"Note: {host} can be reached from other machines, with no log-in.", err=True)
    click.echo(f"Studio: http://{host}:{port}  (Ctrl-C ends it)")
    sys.stdout.flush()
    os.execv(sys.executable, command_of(host, port))


def command_of(host: str, port: int) -> list[str]:
    """The command that serves the page: no browser opened, nothing sent home, no file watcher."""
    options = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.level": "error",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(PAGE), *words]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
