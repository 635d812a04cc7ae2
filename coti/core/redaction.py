"""Passwords and signatures go before a text is shown, logged, kept or raised: here alone."""

from __future__ import annotations

import logging
import re

__all__ = ["RedactingFormatter", "redacted", "without_login"]

_LOGINS = re.compile(
    # A password may hold anything but blanks and quotes; host:80/a@b is none. Bounded, for speed.
    r"://[^/\s?#@:\"'<>]{0,200}:(?!\d*(?:[/?#]|$))[^\s\"'<>]{1,500}@"
    r"|://[^/\s?#\"'<>]{1,500}@"
)
_WORDS = r"passwo?r?d|passphrase|secret|api[_-]?key|access[_-]?key|private[_-]?key"
_PARAMETERS = re.compile(
    # In an address all that may sign or open it; elsewhere what is called a password or a secret:
    # a token and a key are also words of ours.
    rf"((?:[?&;]|%3F|%26)(?:[\w.%-]{{0,60}}?(?:{_WORDS}|token|signature|credentials?)(?:[_-]?id)?"
    r"|(?:[\w.%-]{1,60}[_.-])?(?:sig|key|auth|pwd|pass|policy|hmac|jwt|session|key-pair-id))"
    rf"|\b[\w-]{{0,60}}?(?:{_WORDS}|session_token)(?:_id)?)(=|%3D)[^&#;\s\"'<>,)]+",
    re.IGNORECASE,
)
_HEADERS = re.compile(r"\b(authorization\"?'?:\s*[\"']?(?:\w+\s+)?)[^\s\"',]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """The text without the logins, signatures, tokens and keys of addresses in it.

    >>> redacted("s3://me:pa/ss@bucket, https://h/x.png?size=2&X-Amz-Signature=0f&sig=a%2Fb")
    's3://***@bucket, https://h/x.png?size=2&X-Amz-Signature=***&sig=***'
    """
    if "=" in text or "%3D" in text:
        text = _PARAMETERS.sub(r"\1\2***", text)
    if "@" in text:
        text = _LOGINS.sub("://***@", text)
    if ":" in text:
        text = _HEADERS.sub(r"\1***", text)
    return text


def without_login(address: str) -> str:
    """An address as it is typed without a login, the rest as :func:`redacted` leaves it.

    >>> without_login("http://me:secret@host:5000/x?token=0f")
    'http://host:5000/x?token=***'
    """
    return redacted(address).replace("://***@", "://")


class RedactingFormatter(logging.Formatter):
    """Log lines and tracebacks without what :func:`redacted` takes away."""

    def format(self, record: logging.LogRecord) -> str:
        """The line as it is written."""
        return redacted(super().format(record))
