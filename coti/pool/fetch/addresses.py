"""Where a fetch may go: public addresses only, checked and pinned for the connection.

The name is resolved once, every address is checked, and the connection goes to just those
addresses: a name that resolves differently a moment later changes nothing.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from coti.core.errors import ConfigError
from coti.pool.reasons import Rejected

__all__ = ["AddressPolicy", "PinningResolver"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressPolicy:
    """Which URLs and addresses are for us; ``allowed_networks`` are exceptions to "public"."""

    def __init__(self, allowed_networks: Sequence[str] = ()) -> None:
        try:
            self._allowed = [ipaddress.ip_network(network) for network in allowed_networks]
        except ValueError as error:
            raise ConfigError(
                f"pool.fetch.allowed_networks: {error}; write a network such as 10.1.0.0/16."
            ) from error

    def check_url(self, url: str) -> str:
        """The host of a URL we may ask; :class:`Rejected` for any other."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise Rejected("download_refused", "not a URL") from error
        if parts.scheme not in ("http", "https"):
            raise Rejected("download_refused", f"scheme {parts.scheme[:20]!r}, not http(s)")
        if not host or any(c.isspace() or ord(c) < 32 for c in url):
            raise Rejected("download_refused", "not a URL")
        if parts.username is not None or parts.password is not None:
            raise Rejected("download_refused", "a URL with a password")
        with contextlib.suppress(ValueError):  # a name's addresses are checked when resolved
            self.check_address(host)
        return host

    def check_address(self, text: str) -> None:
        """Raise :class:`Rejected` unless the address is public (``ValueError``: no address)."""
        address = ipaddress.ip_address(text.partition("%")[0])
        for inner in (address, *_embedded(address)):
            if any(inner in network for network in self._allowed):
                continue
            if not inner.is_global or inner.is_multicast or inner.is_reserved:
                raise Rejected("download_refused", f"{inner} is not a public address")


class PinningResolver(AbstractResolver):
    """Resolves through ``inner`` and hands out addresses only if every one may be connected to."""

    def __init__(self, policy: AddressPolicy, inner: AbstractResolver) -> None:
        self._policy, self._inner = policy, inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of ``host``; :class:`Rejected` where one of them is not public."""
        found = await self._inner.resolve(host, port, family)
        for result in found:
            self._policy.check_address(result["host"])
        return found

    async def close(self) -> None:
        """Release what the inner resolver holds."""
        await self._inner.close()


def _embedded(address: _Address) -> list[Any]:
    """IPv4 addresses inside an IPv6 one: mapped, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    inner: list[Any] = [address.ipv4_mapped, address.sixtofour]
    if address.teredo is not None:
        inner.extend(address.teredo)
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in inner if one is not None]
