"""``coti studio``: a page for people who would rather look."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

import click

from cli.ports import require_port
from coti.core.errors import ConfigError
from ops.quiet import quiet_terminal

__all__ = ["command_of", "studio"]


@click.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=8501,
    help="Port on this machine.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    help="Host name or address by which other machines reach it. May be repeated.",
)
def studio(host: str, port: int, names: tuple[str, ...]) -> None:
    """Serve the studio: a concept's versions side by side, its training, what it picked.

    On this machine alone, unless --host says otherwise; it has no log-in. It answers only to the
    address that it listens on and to each --name.

    \b
    Examples:
      coti studio
      coti studio --host 0.0.0.0 --name gpu.example.org
    """
    quiet_terminal()
    if find_spec("streamlit") is None:
        raise ConfigError(
            "coti studio needs streamlit, which `make install` brings: run it in this repository."
        )
    require_port(host, port)
    if not _is_loopback(host):
        click.echo(f"Note: {host} can be reached from other machines, with no log-in.", err=True)
    click.echo(f"Studio: http://{host}:{port}  (Ctrl-C ends it)")
    sys.stdout.flush()
    os.execv(sys.executable, command_of(host, port, names))


def command_of(host: str, port: int, names: Sequence[str] = ()) -> list[str]:
    """The command that serves the page.

    Args:
        host: the address to listen on.
        port: on this machine.
        names: host names and addresses that it answers to beside this one and the loopback's.
    """
    own = f"[{host}]" if ":" in host else host
    allowed = dict.fromkeys([own, "127.0.0.1", "localhost", "[::1]", *names])
    return [sys.executable, "-m", "cli.studio_app", host, str(port), *allowed]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
