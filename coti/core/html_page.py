"""The one way to a page: texts are escaped, and the page runs and loads what it holds itself.

Templates are given ``policy``, a content security policy that they put first into their head. It
allows images in data URIs, inline style, and one script, if the page has one, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["render_page"]

_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
    "style-src 'unsafe-inline'; {script}base-uri 'none'; form-action 'none'\">\n"
    '<meta name="referrer" content="no-referrer">'
)


def render_page(
    template: Path,
    *,
    script: str = "",
    filters: Mapping[str, Callable[..., Any]] | None = None,
    **values: Any,
) -> str:
    """The page of a Jinja template, as text that UTF-8 can hold.

    Args:
        template: its file; it may import its neighbours.
        script: the page's own JavaScript, of no stranger's text; the template is given it as
            ``script`` and must put it between ``<script>`` and ``</script>`` as it is.
        filters: by name, beside Jinja's own.
        values: what the template shows.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"script-src 'sha256-{digest}'; " if script else ""
    page = environment.get_template(template.name).render(
        **values, script=Markup(script), policy=Markup(_POLICY.format(script=allowed))
    )
    # A name of a file may hold stray surrogates.
    return page.encode("utf-8", "replace").decode("utf-8")
