"""``X-Robots-Tag``: what the owner of an image asks of machines."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["opted_out"]

_WITH_VALUE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")


def opted_out(headers: Iterable[str], directives: Iterable[str], agent: str) -> str:
    """The directive of ``X-Robots-Tag`` headers that forbids the use, or an empty string.

    A header may name an agent (``googlebot: noindex, noai``); then it counts only where that is
    ours, the first word of the User-Agent, or ``*``.
    """
    ours = agent.split("/", 1)[0].split(" ", 1)[0].strip().lower()
    refused = {name.lower() for name in directives}
    for header in headers:
        meant = True
        for part in header.lower().split(","):
            name, colon, rest = part.partition(":")
            directive = part.strip()
            if colon and name.strip() not in _WITH_VALUE:
                meant, directive = name.strip() in ("*", ours), rest.strip()
            if meant and directive in refused:
                return directive
    return ""
