"""Marks in a Markdown page: comments that name a file below docs/, each with the text that shows it.

<!-- table: tables/street/table-1-test-street.md command="make table TABLE=1 ..." -->
(what `table`, `file`, `rows` and `picture` show stands on lines of its own)
<!-- end -->

text <!-- figure: tables/street/table-1-test-street.csv row="LASS3D+" ratio=2 column=miou -->65.0<!-- end -->
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from lass3d_core.errors import DataError

_OPEN = r"<!-- (?P<kind>table|file|rows|picture|figure): "
_PART = re.compile(f"{_OPEN}|<!-- end -->")
_MARK = re.compile(f"{_OPEN}(?P<words>[^\\n]*?) -->(?P<shown>.*?)<!-- end -->", re.DOTALL)


@dataclass(frozen=True)
class Mark:
    """One mark. place: "README.md line 12", for messages. options: the words KEY=VALUE behind the file."""

    kind: str
    file: str
    options: dict[str, str]
    place: str


def filled(page: str, name: str, show: Callable[[Mark], str]) -> str:
    """The page with the text of every mark made anew by `show`. name: of the page, for messages.

    Raises DataError for a mark that cannot be read, and where Markdown would not show it.
    """

    def made(found: re.Match[str]) -> str:
        mark = _mark(found, f"{name} line {page.count(chr(10), 0, found.start()) + 1}")
        _require_place(mark, found)
        text = show(mark) if mark.kind == "figure" else f"\n\n{show(mark)}\n\n"
        return f"<!-- {mark.kind}: {found['words']} -->{text}<!-- end -->"

    rest = _MARK.sub("", page)
    if loose := _PART.search(rest):
        line = rest[loose.start() :].partition("\n")[0]
        raise DataError(f"{name}: {line!r} is half a mark; a mark ends with <!-- end -->")
    return _MARK.sub(made, page)


def marks_of(page: str, name: str) -> list[Mark]:
    """Every mark of the page. Raises DataError as `filled` does."""
    marks: list[Mark] = []

    def add(mark: Mark) -> str:
        marks.append(mark)
        return ""

    filled(page, name, add)
    return marks


def _mark(found: re.Match[str], place: str) -> Mark:
    try:
        file, *pairs = shlex.split(found["words"])
        options = dict(pair.split("=", 1) for pair in pairs)
    except ValueError:
        raise DataError(f"{place}: write the mark as <!-- {found['kind']}: FILE KEY=VALUE ... -->") from None
    if _PART.search(found["shown"]):
        raise DataError(f"{place}: the mark has no <!-- end --> before the next one")
    return Mark(found["kind"], file, options, place)


def _require_place(mark: Mark, found: re.Match[str]) -> None:
    """A comment that begins a line makes the whole line HTML: right for a block, wrong for a figure."""
    page = found.string
    before = page[: found.start()].rpartition("\n")[2]
    after = page[found.end() :].partition("\n")[0]
    if mark.kind != "figure" and (before + after).strip():
        raise DataError(f"{mark.place}: `{mark.kind}` and its <!-- end --> stand on lines of their own")
    if mark.kind == "figure" and (not before.strip(" >*-") or "\n" in found["shown"]):
        raise DataError(f"{mark.place}: a figure stands within one line and does not begin it")
