"""docs/tutorial.ipynb is kept without outputs, and runs from its first cell to its last."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_it_is_kept_without_outputs() -> None:
    assert all(cell["outputs"] == [] for cell in CELLS if cell["cell_type"] == "code")


@pytest.mark.parametrize("number", range(len(CODE)))
def test_every_name_that_a_cell_imports_exists(number: int) -> None:
    imports = [one for one in ast.parse(CODE[number]).body if isinstance(one, (ast.Import, ast.ImportFrom))]
    exec(compile(ast.Module(imports, []), "cell", "exec"), {})


def test_its_links_lead_to_pages() -> None:
    prose = "".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")
    links = re.findall(r"\]\(([^)]+)\)", prose)
    assert links and all((ROOT / "docs" / link).is_file() for link in links)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_runs_from_the_first_cell_to_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, with a smaller street and four steps."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    small = (ROOT / "data_manifest.yaml").read_text().replace("val: 20, test: 30", "val: 2, test: 2")
    (tmp_path / "data_manifest.yaml").write_text(small)
    (tmp_path / "docs").mkdir()
    shutil.copyfile(NOTEBOOK, tmp_path / "docs" / "tutorial.ipynb")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = next(cell for cell in notebook.cells if "STEPS = 60" in cell.source)
    first.source = first.source.replace("STEPS = 60", "STEPS = 4")
    client = nbclient.NotebookClient(
        notebook,
        timeout=1500,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path / "docs")}},
    )
    client.execute()
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 4
