from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from lass3d_core.errors import Lass3dError
from train.__main__ import main
from train.runs.checkpoint import checkpoints
from train.runs.logs import read_log
from train.tables.command import make_table
from train.tables.plan import Recipe
from train.tables.rows import Table


@pytest.mark.slow
def test_missing_runs_are_trained_a_failed_one_leaves_its_place_and_the_next_command_goes_on(
    small: Table, recipe: Recipe, tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = replace(recipe, seeds=(0,))
    base, mean = tiny.run("supervised-demo-r20-s0"), tiny.run("mean_teacher-demo-r20-s0-soft")
    mean.parent.mkdir(parents=True)
    mean.write_text("a file where a folder should be")
    with pytest.raises(Lass3dError, match=r"1 runs table-2-test\.md had to leave out; mean_teacher.*folder"):
        make_table(small, alone, processes=2)
    page = tiny.root / "runs" / "tiny" / "tables" / "table-2-test.md"
    assert "- mean, 20 %, seed 0: failed: " in page.read_text()
    assert {path.name for path in page.parent.iterdir()} == {
        *("table-2-test.md", "table-2-test.csv", "table-2-test-runs.csv", "table-2-test.svg")
    }
    weights = checkpoints(base / "checkpoints")[-1].read_bytes()
    assert [float(row["passes"]) for row in read_log(base / "log.csv")] == [1.0, 1.0]
    (base / "metrics-test.json").unlink()  # as if it had been stopped while it was evaluated
    mean.unlink()
    assert make_table(small, alone, processes=2) == page
    assert checkpoints(base / "checkpoints")[-1].read_bytes() == weights
    assert "failed" not in page.read_text()
    assert [float(row["passes"]) for row in read_log(mean / "log.csv")] == [2.0, 2.0]
    capsys.readouterr()
    make_table(small, alone, processes=2)
    assert "2 runs, 2 finished; 1 rows not built" in capsys.readouterr().out


@pytest.mark.slow
def test_a_table_goes_on_from_its_recorded_figures_on_another_machine(
    small: Table, recipe: Recipe, tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, runs = tiny.root / "figures", tiny.root / "runs"
    make_table(small, replace(recipe, seeds=(0,)), processes=2, figures=figures)
    shutil.rmtree(runs)
    capsys.readouterr()
    make_table(small, recipe, processes=2, figures=figures)
    assert "4 runs, 2 recorded, 2 missing; 1 rows not built" in capsys.readouterr().out
    assert {path.parent.name for path in runs.glob("*/*/config.json")} == {
        *("supervised-demo-r20-s1", "mean_teacher-demo-r20-s1-soft")
    }
    pages = [folder / "table-2-test.md" for folder in (figures / "tiny", runs / "tiny" / "tables")]
    first, second = (page.read_text() for page in pages)
    assert first == second and "not finished" not in first
    shutil.rmtree(runs)
    make_table(small, recipe, processes=2, figures=figures)
    assert "4 runs, 4 recorded" in capsys.readouterr().out
    assert pages[1].read_text() == first
    assert not list(runs.glob("*/*/config.json"))


def test_plan_trains_nothing(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--table", "6", "--seeds", "4", "--ratios", "20", "--plan"]
    assert main(tiny.arguments("table", *flags)) == 0
    said = capsys.readouterr().out
    assert "lass3d-demo-r20-s4-alignment  missing, 300 steps, ?" in said
    assert "Table 6 on tiny: 4 runs, 4 missing" in said
    assert not (tiny.root / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--table", "8"), "table '8' does not exist"),
        (("--ratios", "x"), "--ratios 'x'"),
        (("--ratios", "3"), "labels none"),
        (("--split", "train"), "--split train"),
        (("--set", "optim.peak_rl=1"), "did you mean 'peak_lr'"),
    ],
)
def test_a_wrong_choice_is_one_line(tiny, capsys, flags: tuple[str, ...], said: str) -> None:
    assert main(tiny.arguments("table", "--table", "6", "--ratios", "20", "--plan", *flags)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
