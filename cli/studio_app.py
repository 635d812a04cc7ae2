"""The server of ``coti studio``: ``python -m cli.studio_app HOST PORT [NAME …]``.

It has no log-in, so any page in a user's browser could ask it for what it shows. It answers only
under the names that it is given (a foreign name that resolves to this machine is not one of
them) and only to pages of its own; its page loads nothing from elsewhere, whatever is on it.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ops.quiet import ROOT

__all__ = ["figure", "plain", "serve", "studio_app"]

PAGE = ROOT / "cli" / "studio_page.py"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data: blob:; font-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class _OwnPagesOnly:
    """Refuses requests that pages of other origins send, and keeps our page to this server."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            await PlainTextResponse("foreign origin", status_code=403)(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = MutableHeaders(scope=message)
                kept["Content-Security-Policy"] = _POLICY
                kept["Cross-Origin-Resource-Policy"] = "same-origin"
            await send(message)

        await self.app(scope, receive, send_with_policy)


def studio_app(names: Sequence[str], page: Path) -> streamlit.App:
    """A page as an application that answers under these host names and addresses alone."""
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)
    return streamlit.App(page, middleware=[hosts, Middleware(_OwnPagesOnly)])


def serve(host: str, port: int, names: Sequence[str], page: Path = PAGE) -> None:
    """Serve it until it is stopped: no browser opened, nothing sent home, no file watched."""
    studio_app(names, page).run(
        config={
            "server.address": host,
            "server.port": port,
            "server.headless": True,
            "server.fileWatcherType": "none",
            "browser.gatherUsageStats": False,
            "client.toolbarMode": "minimal",
            "client.showErrorDetails": "none",
            "logger.level": "error",
            "runner.magicEnabled": False,  # it would show the docstrings of constants
            # The report's colours; Streamlit's red is too dark for words on its dark ground.
            "theme.light.primaryColor": "#0b62a8",
            "theme.dark.primaryColor": "#7cb9f0",
        }
    )


def plain(text: str) -> str:
    """A text as Streamlit's Markdown shows it, whatever is in it: no link, no image, no formula."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def figure(png: bytes, alt: str, caption: str = "") -> str:
    """An image as HTML for ``st.html``: Streamlit's own has no text for those who don't see it.

    Args:
        png: the image.
        alt: what it shows, in words.
        caption: stands below it.
    """
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    image = f'<img src="{source}" alt="{escape(alt)}" style="max-width: 100%">'
    return f'<figure style="margin: 0">{image}{below}</figure>'


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
