"""The documentation site: equations, code, error lines and figures of its pages are what the code has."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md"))
SOURCES = [
    path for part in ("lass3d_core", "preprocess", "train") for path in sorted((ROOT / part).rglob("*.py"))
]

IN_THE_CODE = re.compile(
    r"^\*\*In the code.*\[`(?P<shown>[^`]+)`\]\(\.\./(?P<path>[^)]+)\)(?:, `(?P<name>\w+)`)?$", re.M
)
EQUATIONS = re.compile(r"Eq\. \((\d)\)(?:(?:,| and) \((\d)\))?")


def site(name: str) -> ModuleType:
    """A module of docs/site, which is no package."""
    folder = str(DOCS / "site")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


def sections(page: str) -> Iterator[tuple[str, str]]:
    """Heading and text of each section of a page."""
    for part in re.split(r"^## ", (DOCS / page).read_text(encoding="utf-8"), flags=re.M)[1:]:
        heading, _, text = part.partition("\n")
        yield heading, text


def definition(path: str, name: str) -> ast.FunctionDef | ast.ClassDef:
    (found,) = [
        node
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name
    ]
    return found


def test_the_code_that_a_page_names_exists_and_has_the_line_that_it_shows() -> None:
    for page in ("paper.md", "plus.md"):
        for heading, text in sections(page):
            for found in IN_THE_CODE.finditer(text):
                assert found["shown"] == found["path"], heading
                source = (ROOT / found["path"]).read_text(encoding="utf-8")
                if found["name"]:
                    definition(found["path"], found["name"])
                block = re.match(r"\s*```python\n(.*?)```", text[found.end() :], re.S)
                for line in block[1].strip().splitlines() if block else ():
                    assert line.strip() in source, f"{heading}: {line}"


def test_every_equation_has_one_home_that_carries_its_tag() -> None:
    homes: dict[str, list[str]] = {}
    for heading, text in sections("paper.md"):
        tags = [tag for match in EQUATIONS.findall(heading) for tag in match if tag]
        for found in IN_THE_CODE.finditer(text):
            own = EQUATIONS.search(found[0])
            for tag in [own[1]] if own else tags:
                docstring = ast.get_docstring(definition(found["path"], found["name"])) or ""
                assert f"Eq. ({tag})" in docstring, f"{found['name']} lacks Eq. ({tag})"
                homes.setdefault(tag, []).append(found["name"])
    assert sorted(homes) == list("123456789") and all(len(names) == 1 for names in homes.values())


def test_every_comment_for_code_names_what_exists() -> None:
    code_in_pages = site("code_in_pages")
    marks = [mark for path in PAGES for mark in code_in_pages.marks(path.read_text(encoding="utf-8"))]
    assert len(marks) > 20
    for path, name in marks:
        assert code_in_pages.source_of(ROOT, path, name) if name else (ROOT / path).is_file()


@cache
def messages() -> tuple[str, ...]:
    """Every text of the code, with … for what is filled in."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(one.value if isinstance(one, ast.Constant) else "…" for one in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(re.sub(r"\{[\w:.%]*\}", "…", node.value))
    return tuple(found)


def quoted() -> list[str]:
    return re.findall(r"^```output\n(.*)\n```$", (DOCS / "faq.md").read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("line", quoted())
def test_a_quoted_error_line_is_in_the_code(line: str) -> None:
    assert any(line in message for message in messages())


def test_links_of_the_pages_lead_to_files_and_headings() -> None:
    """As a code host shows the pages; the site's own check is in `make docs`."""
    dead = []
    for path in [*PAGES, ROOT / "README.md"]:
        text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
            place, _, heading = link.partition("#")
            target = (path.parent / place) if place else path
            if not target.exists() or (heading and heading not in anchors(target)):
                dead.append(f"{path.relative_to(ROOT)}: {link}")
    assert dead == []


@cache
def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_figures_are_what_the_script_draws() -> None:
    drawn = site("draw").drawn()
    assert {name: (DOCS / "figures" / name).read_text(encoding="utf-8") for name in drawn} == drawn
    assert {path.name for path in (DOCS / "figures").glob("*.svg")} == set(drawn)


def test_the_settings_reference_has_every_setting_with_its_comment() -> None:
    pages, config, methods = (
        site("settings_pages"),
        importlib.import_module("train.config"),
        importlib.import_module("train.methods"),
    )
    text = pages.run_settings(ROOT)
    for group in pages.groups("", config.RunConfig):
        for row in [] if group.prefix.startswith("method") else pages.rows(group):
            assert f"| `{row.key}` | {row.default} | {row.values} |" in text
    text = pages.method_settings(ROOT)
    for name, (settings, _) in methods.METHODS.items():
        assert f"### `METHOD={name}`" in text
        for group in pages.groups("method", settings):
            given = {field.name for field in dataclasses.fields(group.settings)}
            below = {one.prefix.rpartition(".")[2] for one in pages.groups("method", settings)}
            assert {row.key.rpartition(".")[2] for row in pages.rows(group)} == given - below
    assert "| `method.tau_r` | `0.9` | number, at least 0, at most 1 | least teacher confidence" in text
    assert "| `datasets.NAME.reader` | required |" in pages.manifest_settings(ROOT)
    assert "`params.prompt` | `brief` | `brief`, `detailed` |" in pages.model_settings(ROOT)
    assert "### `PRESET=street`" in pages.presets(ROOT)


def test_the_menu_has_every_page() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:")[1].split("\nexclude_docs")[0]
    named = set(re.findall(r": ([\w-]+\.md)$", menu, re.M))
    assert named == {path.name for path in DOCS.glob("*.md")}


def test_a_dead_link_and_a_foreign_script_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">1</a><a href="b.html#not">2</a><a href="c.html">3</a><a href="https://x.org">4</a>'
        '<script src="https://x.org/y.js"></script><img src="no.png">'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1>')
    (tmp_path / "c.css").write_text("a { background: url(//x.org/z.png) }")
    assert site("check").problems_of(tmp_path) == [
        "a.html: the link b.html#not names no place of that page",
        "a.html: the link c.html leads nowhere",
        "a.html: loads https://x.org/y.js",
        "a.html: no.png is not there",
        "c.css: loads //x.org/z.png",
    ]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_site_is_built_without_a_warning() -> None:
    """What `make docs` runs. It needs the packages of the extra `docs`."""
    pytest.importorskip("mkdocstrings")
    done = subprocess.run([sys.executable, str(DOCS / "site" / "build.py")], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "site/index.html\n", done.stdout + done.stderr


def test_a_docstring_becomes_paragraphs_and_formulas() -> None:
    docstring = """Do a thing:
    q = a * b

    r = q
All is well.
left, right (N,3): metres, of the
    two sides.
count: how many.
Returns (N,) bool.
Decision: the first
of the two."""
    assert site("docstring_paragraphs").as_markdown(docstring).split("\n\n") == [
        "Do a thing:",
        "    q = a * b",
        "    r = q",
        "All is well.",
        "**left, right** (N,3): metres, of the\ntwo sides.",
        "**count**: how many.",
        "Returns (N,) bool.",
        "Decision: the first\nof the two.",
    ]
