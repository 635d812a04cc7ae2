"""A port that a server of ours is about to listen on."""

from __future__ import annotations

import errno
import socket

from coti.core.errors import ConfigError

__all__ = ["require_port"]


def require_port(host: str, port: int) -> None:
    """Before a server starts, which would say the same in a traceback.

    Raises:
        ConfigError: nothing can listen there; says why and what to do.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as server:
            # A connection that has just ended is no server.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(address)
            server.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} of {host} is in use: give another with --port, or end what uses it."
            ) from error
        why = error.strerror or str(error)
        raise ConfigError(
            f"port {port} of {host} cannot be listened on ({why}): give another, or another host."
        ) from error
