"""Fill the marked tables and figures of README.md and docs/*.md from the files of docs/tables.

    python benchmarks/fill_pages.py [--demo runs/street/demo.json]      (make results)

`make table ... FIGURES=docs/tables` writes those files. benchmarks/pages/marks.py says how a mark is written.
A table whose file is missing becomes "Not yet made", with its command. --demo first writes
docs/tables/demo.csv from the runs of `make demo`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a plain checkout

from benchmarks.pages.demo import demo_csv
from benchmarks.pages.marks import filled, marks_of
from benchmarks.pages.shown import shown, stems_to_come
from lass3d_core.errors import exit_status
from lass3d_core.files.atomic import write_text

ROOT = Path(__file__).resolve().parents[1]


def pages_of(root: Path) -> dict[Path, str]:
    """README.md and the pages of docs/, as they are: path -> text."""
    paths = (root / "README.md", *sorted(root.glob("docs/*.md")))
    return {path: path.read_text(encoding="utf-8") for path in paths}


def all_filled(pages: Mapping[Path, str], root: Path) -> dict[Path, str]:
    """The pages with the text of every mark made anew. Raises DataError."""
    names = {path: path.relative_to(root).as_posix() for path in pages}
    marks = [mark for path, page in pages.items() for mark in marks_of(page, names[path])]
    show = partial(shown, docs=root / "docs", to_come=stems_to_come(marks))
    return {path: filled(page, names[path], partial(show, page=path)) for path, page in pages.items()}


def main() -> None:
    """Write the pages that change, and name them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, metavar="FILE", help="demo.json of `make demo`")
    demo = parser.parse_args().demo
    if demo:
        write_text(ROOT / "docs" / "tables" / "demo.csv", demo_csv(demo))
    before = pages_of(ROOT)
    changed = {path: page for path, page in all_filled(before, ROOT).items() if page != before[path]}
    for path, page in changed.items():
        write_text(path, page)
    print(f"changed: {', '.join(path.name for path in changed) or 'nothing'}")


if __name__ == "__main__":
    sys.exit(exit_status(main, "run the same command again"))
