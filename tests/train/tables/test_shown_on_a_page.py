"""What docs/results.md shows of the page that `make table` writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.pages.marks import Mark
from benchmarks.pages.shown import shown
from train.tables.csv_files import rows_csv
from train.tables.figures import TableResults
from train.tables.markdown import as_markdown

Fill = Callable[[Mapping[str, Mapping[int, float]]], TableResults]


def test_a_block_has_the_command_the_figures_and_the_claims_of_a_table(
    filled_by_hand: Fill, tmp_path: Path
) -> None:
    filled = filled_by_hand({"base": {0: 40.0, 1: 44.0}, "mean": {0: 42.0, 1: 47.0}})
    there = tmp_path / "docs" / "tables" / "tiny"
    there.mkdir(parents=True)
    page = as_markdown(filled, "make table TABLE=2", "table-2-test.svg")
    (there / "table-2-test.md").write_text(page)
    (there / "table-2-test.csv").write_text(rows_csv(filled))
    mark = Mark("table", "tables/tiny/table-2-test.md", {}, "results.md line 1")
    text = shown(mark, tmp_path / "docs", tmp_path / "docs" / "results.md", ())
    lines = text.splitlines()
    assert lines[0] == "`make table TABLE=2`"
    assert "![mIoU of every row, with its interval](tables/tiny/table-2-test.svg)" in lines
    assert "**20 % labelled (2 of 10 scans)**" in lines
    assert next(line for line in page.splitlines() if line.startswith("| mean |")) in lines
    assert "| mean > base | not distinguishable: +2.5 (-3.9 to +8.9) |" in lines
    assert "A note." in lines and not [line for line in lines if line.startswith("#")]
    assert "make train" not in text and "Student's t" not in text
    assert lines[-1].endswith("(tables/tiny/table-2-test.md)")
    figure = Mark(
        "figure", "tables/tiny/table-2-test.csv", {"row": "mean", "ratio": "20"}, "README.md line 1"
    )
    assert shown(figure, tmp_path / "docs", tmp_path / "README.md", ()) == "44.5"
