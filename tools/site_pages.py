"""MkDocs hook: the repository's own pages are pages of the site, and links out of docs/ hold there.

README.md is the site's first page, CONTRIBUTING.md, CHANGELOG.md and SECURITY.md are pages, so
that each is written once. A link to a module leads to its page of the reference, a link to
another file of the repository to a copy of it; a link to a folder becomes its name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

__all__ = ["PAGES", "on_files", "on_page_markdown"]

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "CODE_OF_CONDUCT.md": "code_of_conduct.md",
}
"""Files of the repository's root, and what they are called in the site."""
_COPIES = "repository/"
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and copies of the files that any page links to."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    waiting = [each.src_uri for each in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        where = _in_repository(page)
        text = (ROOT / where).read_text(encoding="utf-8") if (ROOT / where).is_file() else ""
        for target in _targets(text, where):
            copy = _in_site(target)
            if copy.startswith(_COPIES) and files.get_file_from_path(copy) is None:
                files.append(File.generated(config, copy, abs_src_path=str(ROOT / target)))
                waiting += [copy] if copy.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    where = _in_repository(here)
    if here == PAGES["README.md"]:
        page.meta["hide"] = ["navigation"]  # it would be the page alone

    def mend(found: re.Match[str]) -> str:
        mark, text, link = found.groups()
        path, _, anchor = link.partition("#")
        target = _target(path, where)
        if not path or target is None:
            return f"{mark}[{_LINK.sub(mend, text)}]({link})"
        if (ROOT / target).is_dir():
            return text
        new = posixpath.relpath(_in_site(target), posixpath.dirname(here) or ".")
        return f"{mark}[{_LINK.sub(mend, text)}]({new}{'#' + anchor if anchor else ''})"

    return _outside_code(markdown, lambda part: _LINK.sub(mend, part))


def _targets(text: str, where: str) -> list[str]:
    """Files of the repository that a page links to."""
    found: list[str] = []

    def note(part: str) -> str:
        for each in _LINK.finditer(part):
            target = _target(each[3].partition("#")[0], where)
            if target is not None and (ROOT / target).is_file():
                found.append(target)
        return part

    _outside_code(text, note)
    return found


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """``change`` applied to what is no code; a link's text may hold code, so marks stand in."""
    kept: list[str] = []

    def put_away(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\0{len(kept) - 1}\0"

    changed = change(_CODE.sub(put_away, markdown))
    return re.sub(r"\0(\d+)\0", lambda found: kept[int(found[1])], changed)


def _target(path: str, where: str) -> str | None:
    """What a link of the file ``where`` names, from the repository's root; None: not a file."""
    if not path or "://" in path or path.startswith(("mailto:", "/")):
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(where), path))
    return target if (ROOT / target).exists() else None


def _in_repository(page: str) -> str:
    """Where a page of the site comes from."""
    for source, name in PAGES.items():
        if page == name:
            return source
    return page.removeprefix(_COPIES) if page.startswith(_COPIES) else f"docs/{page}"


def _in_site(target: str) -> str:
    """Where a file of the repository is in the site."""
    if target in PAGES:
        return PAGES[target]
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if target.startswith("coti/") and target.endswith(".py"):
        return f"reference/{target.removesuffix('.py').replace('__init__', 'index')}.md"
    return _COPIES + target
