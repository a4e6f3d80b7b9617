"""What a mark shows of its file."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from benchmarks.pages.marks import Mark
from lass3d_core.errors import DataError, reading
from lass3d_core.settings import nearest

NOT_YET = "not yet made"
_OF_RUNS = ("The rows", "The runs")  # sections of `make table` that a page leaves to the table's own file


def shown(mark: Mark, docs: Path, page: Path, to_come: Collection[str]) -> str:
    """The text of a mark on `page`. docs: the folder below which marks name files.

    to_come: files without suffix that may be missing, because a block names the command that makes them.
    Raises DataError for a file, row or column that does not exist.
    """
    path = docs / mark.file
    if not path.is_file():
        return _not_yet(mark, to_come)
    link = Path(os.path.relpath(path, page.parent)).as_posix()
    if mark.kind == "picture":
        return f"![{mark.options.get('alt', 'mIoU of every row')}]({link})"
    with reading(path):
        text = path.read_text(encoding="utf-8")
    if mark.kind in ("figure", "rows"):
        # A line that begins with "#" says the command.
        lines = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
        return _figure(mark, lines) if mark.kind == "figure" else _rows(mark, lines)
    body = re.sub(r"\A# .*\n", "", text).strip()
    return _table(body, link) if mark.kind == "table" else body


def stems_to_come(marks: Iterable[Mark]) -> set[str]:
    """The files, without suffix, whose command a block names."""
    return {_stem(mark.file) for mark in marks if "command" in mark.options}


def _stem(file: str) -> str:
    return str(Path(file).with_suffix(""))


def _not_yet(mark: Mark, to_come: Collection[str]) -> str:
    if mark.kind == "figure" and _stem(mark.file) in to_come:
        return NOT_YET
    if mark.kind != "figure" and "command" in mark.options:
        return f"Not yet made; the command: `{mark.options['command']}`"
    raise DataError(
        f'{mark.place}: docs/{mark.file} does not exist; make it, or give its block command="make ..."'
    )


def _table(body: str, link: str) -> str:
    """Command, note, picture, figures and claims of a page of `make table`.

    The protocol's list stands once on the page of results. Headings become bold: the contents of the page are
    its own headings.
    """
    head, *sections = re.split(r"^## ", body, flags=re.MULTILINE)
    kept = [part for part in head.strip().split("\n\n") if not part.startswith("- ")]
    for section in sections:
        title, _, text = section.partition("\n")
        if title not in _OF_RUNS:
            kept += [f"**{title}**", text.strip()]
    folder = Path(link).parent.as_posix()  # the picture lies beside the table's file
    placed = [re.sub(r"(!\[[^\]]*\]\()([^)/]+\))", rf"\g<1>{folder}/\g<2>", part) for part in kept]
    return "\n\n".join([*placed, f"[Steps, costs, the command and the fingerprint of every run]({link})"])


def _figure(mark: Mark, lines: list[dict[str, str]]) -> str:
    """The cell in `column` of the one line that has the values of the mark's other options."""
    column = mark.options.get("column", "miou")
    wanted = {key: value for key, value in mark.options.items() if key != "column"}
    _require(mark, (*wanted, column), lines[0] if lines else (), "column")
    for key, value in wanted.items():
        _require(mark, [value], {line[key] for line in lines}, key)
        lines = [line for line in lines if line[key] == value]
    if len(lines) > 1:
        raise DataError(f"{mark.place}: {len(lines)} lines of {mark.file} fit; name a further column")
    return _words(lines[0], column) or NOT_YET


def _rows(mark: Mark, lines: list[dict[str, str]]) -> str:
    """`columns` of a CSV file as a table."""
    columns = mark.options.get("columns", "").split()
    _require(mark, columns, lines[0] if lines else (), "column")
    head = [[_head(column, lines[0]) for column in columns], ["---"] * len(columns)]
    cells = [[_words(line, column) for column in columns] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in (*head, *cells))


def _head(column: str, line: dict[str, str]) -> str:
    """The name of a column as a table's page has it."""
    if column in ("difference_low", "difference_high"):
        return f"95 %, {'from' if column.endswith('low') else 'to'}"
    named = {"miou": "mIoU", "difference": f"minus {line.get('reference')}"}
    return named.get(column, column.replace("_", ", "))


def _require(mark: Mark, names: Iterable[str], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise DataError(f"{mark.place}: {mark.file} has no {what} {name!r}{nearest(name, known)}")


def _words(line: dict[str, str], column: str) -> str:
    """A cell as it is printed: mIoU with one decimal, a difference with its sign, seeds in a row as 0-3."""
    if column == "seeds":
        return _in_ranges([int(seed) for seed in line[column].split()])
    if not line[column] or not column.startswith(("miou", "difference", "paper_miou", "val", "test")):
        return line[column]
    return f"{float(line[column]):{'+' if column.startswith('difference') else ''}.1f}"


def _in_ranges(seeds: Sequence[int]) -> str:
    """0, 1, 2, 5 as `0-2 5`."""
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and seed == ranges[-1][-1] + 1:
            ranges[-1].append(seed)
        else:
            ranges.append([seed])
    return " ".join(f"{one[0]}-{one[-1]}" if len(one) > 1 else str(one[0]) for one in ranges)
