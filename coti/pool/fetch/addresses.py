"""Where a fetch may go: public addresses only, checked and pinned for the connection.

A URL is read once, by the client's own parser, and what that makes of it is judged. A name is
resolved once, every address is checked, and the connection goes to just those addresses: a name
that resolves differently a moment later changes nothing. What no check foresaw is stopped where
the socket is made, and once more before a word is said to whoever answered.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections.abc import Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from coti.core.errors import ConfigError
from coti.pool.reasons import Rejected

__all__ = ["AddressPolicy", "PinningResolver"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME = re.compile(
    r"(?=.{1,254}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE | re.ASCII
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC: tuple[_Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # IETF protocols; Oracle's metadata service is at .192
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # Azure's platform
        "161.26.0.0/16",  # IBM Cloud's services, inside only
        "166.8.0.0/14",
        "2001::/23",  # IETF protocols, Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
"""What ``ipaddress`` takes for public, or takes for it in some versions of Python."""


class AddressPolicy:
    """Which URLs and addresses are for us; ``allowed_networks`` are exceptions to "public"."""

    def __init__(self, allowed_networks: Sequence[str] = ()) -> None:
        try:
            self._allowed = [ipaddress.ip_network(network) for network in allowed_networks]
        except ValueError as error:
            raise ConfigError(
                f"pool_rules.fetch.allowed_networks: {error}; write a network such as 10.1.0.0/16."
            ) from error

    def check_url(self, text: str, base: URL | None = None) -> URL:
        """A URL that we may ask for, as the client reads it; :class:`Rejected` for any other.

        ``base``: where it was found, if it may be relative.
        """
        try:
            text.encode()  # the parser drops lone surrogates, and asks for something else
            url = URL(text.strip()) if base is None else base.join(URL(text.strip()))
            host, _ = url.raw_host or "", url.port
        except ValueError as error:
            raise Rejected("download_refused", "not a URL") from error
        if url.scheme not in ("http", "https"):
            raise Rejected("download_refused", f"scheme {url.scheme[:20]!r}, not http(s)")
        if url.raw_user is not None or url.raw_password is not None:
            raise Rejected("download_refused", "a URL with a password")
        if ":" in host or host.replace(".", "").isdigit():  # what the client takes for an address
            try:
                self.check_address(host)
            except ValueError as error:
                raise Rejected("download_refused", f"{host[:60]} is no address") from error
        elif not _NAME.fullmatch(host):
            raise Rejected("download_refused", "not a URL")
        return url

    def check_address(self, text: str) -> None:
        """Raise :class:`Rejected` unless the address is public (``ValueError``: no address)."""
        address = _reached(ipaddress.ip_address(text.partition("%")[0]))
        if not _is_public(address) and not any(address in network for network in self._allowed):
            raise Rejected("download_refused", f"{address} is not a public address")

    def socket_for(self, info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """A socket to connect to one address with, the last place to say no."""
        family, kind, protocol, _, address = info
        try:
            self.check_address(str(address[0]))
        except Rejected as rejected:  # of all errors the client passes on those of the system
            raise OSError(errno.EACCES, rejected.detail) from rejected
        return socket.socket(family, kind, protocol)

    def request_class(self) -> type[aiohttp.ClientRequest]:
        """Requests that look at whom they are connected to before they say a word."""
        policy = self

        class CheckedRequest(aiohttp.ClientRequest):
            async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
                assert conn.transport is not None
                policy.check_address(conn.transport.get_extra_info("peername")[0])
                return await super().send(conn)

        return CheckedRequest


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


def _reached(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 one of the system's or of NAT64's leads to, or itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: _Address) -> bool:
    if any(address in network for network in _NOT_PUBLIC):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        tunnel = (int(address) >> 32) & 0xFDFFFFFF == 0x5EFE  # ISATAP, to any IPv4 address
        return address in _UNICAST and address.is_global and not tunnel
    return address.is_global and not address.is_multicast and not address.is_reserved
