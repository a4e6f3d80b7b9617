"""README and docs show the figures of docs/tables, and a mark that is wrong is one clear line."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest

from benchmarks.fill_pages import all_filled, pages_of
from benchmarks.pages.demo import demo_csv
from benchmarks.pages.marks import filled, marks_of
from lass3d_core.errors import DataError, MissingArtifact
from lass3d_core.files.json_files import write_json
from train.evaluate import Metrics
from train.tables.every import TABLES

ROOT = Path(__file__).parents[1]
FIGURES = """\
# make demo
row,ratio,seeds,miou,difference,steps
base,2,0 1,50,,300
base,5,0 1,55.25,,300
mean,2,0 1 2 5,47.04,-2.96,300
dream,2,,,,
"""
BLOCK = '<!-- table: tables/{} command="make table TABLE=2" -->\n<!-- end -->\n'


def project(root: Path, page: str, **files: str) -> dict[Path, str]:
    """The pages of a small project after a fill: README.md and the files of docs/tables."""
    (root / "docs" / "tables").mkdir(parents=True)
    (root / "README.md").write_text(page)
    for name, text in {"f.csv": FIGURES, **files}.items():
        (root / "docs" / "tables" / name.replace("_md", ".md")).write_text(text)
    return all_filled(pages_of(root), root)


def readme(root: Path, page: str, **files: str) -> str:
    return project(root, page, **files)[root / "README.md"]


def lines_of(page: str, start: str = "|") -> list[str]:
    """The lines of the first Markdown table of a page whose head starts so."""
    lines = (ROOT / page).read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(start))
    return list(takewhile(lambda line: line.startswith("|"), lines[first:]))


def test_every_page_shows_what_the_files_of_its_marks_hold() -> None:
    pages = pages_of(ROOT)
    made = all_filled(pages, ROOT)
    assert [path.name for path in pages if pages[path] != made[path]] == [], "run `make results`"


def test_what_to_expect_has_no_figure_without_a_mark() -> None:
    page = (ROOT / "README.md").read_text()
    section = page.split("## What to expect")[1].split("\n## ")[0]
    bare = re.sub(r"<!-- (\w+): .*?<!-- end -->", "", section, flags=re.DOTALL)
    assert len(marks_of(section, "README.md")) >= 1 and re.findall(r"\d+\.\d", bare) == []


def test_the_memory_on_the_page_of_training_is_what_its_benchmark_printed() -> None:
    """A cell of the page has "bfloat16, float32" of a preset and a method."""
    printed = [
        [cell.strip("| `") for cell in line.split("|")[1:-1]] for line in lines_of("docs/tables/memory.md")
    ]
    found = {(preset, method): f"{half}, {full}" for preset, method, _, _, full, half, *_ in printed}
    head, _, *rows = (
        [cell.strip(" `") for cell in line.split("|")[1:-1]]
        for line in lines_of("docs/training.md", "| preset | voxels per scan |")
    )
    shown = {(row[0], method): cell for row in rows for method, cell in zip(head[3:], row[3:])}
    assert len(shown) == 12 and shown.items() <= found.items()


def test_a_page_with_other_figures_than_its_file_is_found(tmp_path: Path) -> None:
    """65.0 is what the page says, 47.0 what the file has."""
    said = 'It has <!-- figure: tables/f.csv row="mean" -->65.0<!-- end -->.\n'
    assert readme(tmp_path, said) == said.replace("65.0", "47.0")


@pytest.mark.parametrize(
    ("which", "shows"),
    [
        ('row="base" ratio=2', "50.0"),
        ('row="base" ratio=5 column=miou', "55.2"),
        ('row="mean" column=difference', "-3.0"),
        ('row="mean" column=steps', "300"),
        ('row="mean" column=seeds', "0-2 5"),
        ("row=dream", "not yet made"),
    ],
)
def test_a_figure_is_the_cell_that_its_mark_names(tmp_path: Path, which: str, shows: str) -> None:
    page = readme(tmp_path, f"It has <!-- figure: tables/f.csv {which} -->?<!-- end -->.\n")
    assert page == f"It has <!-- figure: tables/f.csv {which} -->{shows}<!-- end -->.\n"


def test_rows_are_the_columns_of_a_csv_file(tmp_path: Path) -> None:
    page = readme(tmp_path, '<!-- rows: tables/f.csv columns="row miou" -->\nold\n<!-- end -->\n')
    assert page.splitlines()[2:8] == [
        *("| row | mIoU |", "| --- | --- |", "| base | 50.0 |", "| base | 55.2 |"),
        *("| mean | 47.0 |", "| dream |  |"),
    ]


def test_a_difference_says_from_what_and_has_its_sign(tmp_path: Path) -> None:
    figures = "row,reference,difference,difference_low,difference_high\nbase,ours,-2.96,-4,1.25\n"
    columns = "row difference difference_low difference_high"
    mark = f'<!-- rows: tables/g.csv columns="{columns}" -->\n<!-- end -->\n'
    page = readme(tmp_path, mark, **{"g.csv": figures})
    assert "| row | minus ours | 95 %, from | 95 %, to |" in page and "| base | -3.0 | -4.0 | +1.2 |" in page


def test_a_file_is_shown_without_its_title(tmp_path: Path) -> None:
    page = readme(tmp_path, "<!-- file: tables/x.md -->\n<!-- end -->\n", x_md="# Title\n\n- a line\n")
    assert page == "<!-- file: tables/x.md -->\n\n- a line\n\n<!-- end -->\n"


def test_a_table_that_is_not_made_yet_says_its_command_and_its_figures_say_so(tmp_path: Path) -> None:
    figure = "It has <!-- figure: tables/later.csv row=base -->50.0<!-- end -->.\n"
    page = readme(tmp_path, BLOCK.format("later.md") + figure)
    assert "\n\nNot yet made; the command: `make table TABLE=2`\n\n<!-- end -->" in page
    assert "row=base -->not yet made<!-- end -->" in page


def test_filling_twice_changes_nothing_more(tmp_path: Path) -> None:
    once = project(
        tmp_path, BLOCK.format("later.md") + "x <!-- figure: tables/f.csv row=mean --><!-- end -->\n"
    )
    assert all_filled(once, tmp_path) == once


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (
            "x <!-- figure: tables/f.csv row=means -->",
            "README.md line 1: tables/f.csv has no row 'means'; did you",
        ),
        ("x <!-- figure: tables/f.csv row=mean ratio=7 -->", "has no ratio '7'"),
        (
            "x <!-- figure: tables/f.csv row=mean column=mious -->",
            "has no column 'mious'; did you mean 'miou'?",
        ),
        ("x <!-- figure: tables/f.csv row=base -->", "2 lines of tables/f.csv fit"),
        ("x <!-- figure: tables/none.csv row=base -->", "docs/tables/none.csv does not exist"),
        ("<!-- table: tables/none.md -->\n", "docs/tables/none.md does not exist"),
        ("<!-- rows: tables/f.csv columns=rows -->\n", "has no column 'rows'"),
        ("<!-- figure: tables/f.csv row=mean -->", "a figure stands within one line and does not begin it"),
        ("- <!-- figure: tables/f.csv row=mean -->", "does not begin it"),
        ("x <!-- table: tables/none.md -->", "on lines of their own"),
        (
            "x <!-- figure: tables/f.csv row='mean -->",
            "line 1: write the mark as <!-- figure: FILE KEY=VALUE",
        ),
        ("x <!-- figure: tables/f.csv mean -->", "write the mark as"),
    ],
)
def test_a_wrong_mark_is_one_line(tmp_path: Path, mark: str, said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)) as error:
        project(tmp_path, f"{mark}<!-- end -->\n")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "page",
    [
        "a <!-- figure: f.csv -->1",
        "a 1<!-- end -->",
        "a <!-- figure: f.csv -->1 <!-- figure: f.csv -->2<!-- end -->",
    ],
)
def test_half_a_mark_is_an_error(page: str) -> None:
    with pytest.raises(DataError, match="<!-- end -->"):
        filled(page, "README.md", lambda mark: "")


def commanded() -> list[tuple[str, str]]:
    """File and command of every table and picture."""
    marks = [mark for path, page in pages_of(ROOT).items() for mark in marks_of(page, path.name)]
    return [(mark.file, mark.options["command"]) for mark in marks if mark.kind in ("table", "picture")]


@pytest.mark.parametrize(("file", "command"), commanded())
def test_the_command_of_a_table_writes_its_file(file: str, command: str) -> None:
    """A simulated world is judged by its test split, real frames by val; see default_split."""
    given = dict(word.split("=", 1) for word in command.removeprefix("make table ").split())
    name = given["TABLE"] if given["TABLE"].startswith("fig") else f"table-{given['TABLE']}"
    split = "val" if "MANIFEST" in given else "test"
    assert file.rpartition(".")[0] == f"tables/{given['DATASET']}/{name}-{split}-{given['PRESET']}"
    assert given["FIGURES"] == "docs/tables"


def test_the_papers_baselines_are_those_of_its_tables() -> None:
    page = (ROOT / "docs" / "results.md").read_text().replace("\n", " ")
    of = {row.title: row.paper for table in ("1", "2") for row in TABLES[table].rows}
    printed = {title: of[title]["SemanticKITTI"] for title in ("Mean Teacher", "CBST", "CPS", "CE_l")}
    for title, miou in printed.items():
        assert ", ".join(map(str, miou)) in page, title
        assert title == "CE_l" or all(one < alone for one, alone in zip(miou, printed["CE_l"]))


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages_of(ROOT), ids=lambda path: path.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]*)\)", page.read_text())
    for target, _, anchor in (link.partition("#") for link in links if "://" not in link):
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(there.read_text()), f"{page.name}: {target}#{anchor}"


def test_the_demos_file_has_the_figures_of_its_runs(tmp_path: Path) -> None:
    shared = {"confusion": ((1, 0), (0, 1)), "class_names": ("a", "b"), "iou": (0.5, 1.0), "accuracy": 0.5}
    counts = {"scans": 1, "points": 2, "labelled_scans": 1, "training_scans": 2, "steps": 300}
    for split, miou in (("val", 0.5531), ("test", 0.4939)):
        Metrics(
            "ab" * 32, split, miou - 0.1, miou, protocol="nested", ratio=2.0, seed=3, **shared, **counts
        ).save(tmp_path / f"metrics-{split}.json")
    write_json(tmp_path / "demo.json", {"supervised only": str(tmp_path)})
    command, head, line = demo_csv(tmp_path / "demo.json").splitlines()
    assert command.startswith("# make demo && python benchmarks/fill_pages.py --demo ")
    assert head == "row,seed,steps,val,test,val_official,test_official,run"
    assert line == "supervised only,3,300,55.31,49.39,45.31,39.39,abababababab"
    with pytest.raises(MissingArtifact, match='run "make demo"'):
        demo_csv(tmp_path / "none.json")
