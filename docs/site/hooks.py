"""What `make docs` does beside MkDocs: pages made of the code, code in pages, links from pages to the code.

The pages of docs/ are read on a code host, too, as plain Markdown. So they hold ordinary relative links, and
comments that stand for what only the site shows:

    <!-- code: lass3d_core/paper/ema.py update_teacher -->   the source of a function, or of a whole file
    <!-- made: settings -->                                  what docs/site/pages.py makes under that name
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))  # a plain checkout
sys.path.insert(1, str(Path(__file__).resolve().parent))

import code_in_pages
import pages
import python_pages

ROOT = Path(__file__).resolve().parents[2]

_LINK = re.compile(r"\]\((?:\.\./)+(?P<path>[^)#\s]+)(?:#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the Python reference."""
    for name, text in python_pages.all_pages(ROOT).items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill the comments, and turn links into the code to the reference."""
    source = page.file.src_uri
    if source.startswith("python/"):
        return markdown
    try:
        markdown = code_in_pages.filled(pages.filled(markdown, ROOT), ROOT)
    except (KeyError, OSError) as error:
        raise PluginError(f"{source}: {error}; mend its comment") from error
    depth = source.count("/")
    return _LINK.sub(lambda found: _into_the_site(found, depth), markdown)


def _into_the_site(found: re.Match[str], depth: int) -> str:
    """The link to a file outside docs/ as one to its place in the site."""
    up, path = "../" * depth, found["path"]
    if path == "README.md":
        return f"]({up}index.md)"
    place = python_pages.place_of(path)
    return f"]({up}{place})" if place else f"]({up}index.md)"
