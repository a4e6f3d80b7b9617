"""Checks the built site: every link leads somewhere in it, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
_LOADED_LINKS = {
    "stylesheet",
    "icon",
    "preload",
    "modulepreload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "manifest",
}
_IN_CSS = re.compile(r"""(?:url\(|@import\s+)\s*["']?((?:https?:)?//[^"')\s]+)""")


class _Page(HTMLParser):
    """What a page has of ids, links and loaded files."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.ids |= {given[key] for key in ("id", "name") if key in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and _LOADED_LINKS & set(given.get("rel", "").split()):
            self.loaded.append(given.get("href", ""))
        if tag in _LOADS and _LOADS[tag] in given:
            self.loaded.append(given[_LOADS[tag]])
        if "style" in given:
            self.loaded += _IN_CSS.findall(given["style"])


def problems_of(site: Path) -> list[str]:
    """A line for each dead link and each file that would come from a network."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    found = [
        f"{path.relative_to(site)}: {words}"
        for path, page in pages.items()
        for words in (*_dead(path, page, pages), *_foreign(path, page))
    ]
    for path in sorted(site.rglob("*.css")):
        found += [
            f"{path.relative_to(site)}: loads {one}" for one in _IN_CSS.findall(path.read_text("utf-8"))
        ]
    return found


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _dead(path: Path, page: _Page, pages: dict[Path, _Page]) -> list[str]:
    if path.name == "404.html":  # its links are absolute: a server shows it at any address
        return []
    found = []
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            found.append(f"the link {link} leads nowhere")
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
            found.append(f"the link {link} names no place of that page")
    return found


def _foreign(path: Path, page: _Page) -> list[str]:
    found = [f"loads {one}" for one in page.loaded if urlsplit(one).netloc]
    if path.name == "404.html":
        return found
    local = [one for one in page.loaded if not urlsplit(one).scheme and not urlsplit(one).netloc]
    missing = [one for one in local if not (path.parent / unquote(urlsplit(one).path)).is_file()]
    return found + [f"{one} is not there" for one in missing]
