from __future__ import annotations

import io

import pytest
from tqdm.utils import disp_len

from lass3d_core.progress.bars import FittedBar, progress_bar, shortened
from lass3d_core.progress.lines import Lines

TITLE = "lass3d-demo-r2-s1-no-text"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def bar_of(columns: int, title: str = TITLE) -> str:
    """The line of a run's bar in a terminal of so many columns, after 46 of 300 steps in 23 seconds."""
    bar = FittedBar(total=300, desc=title, unit="step", ncols=columns, file=Terminal(), mininterval=1e9)
    bar.set_postfix({"loss": "0.527", "val_miou": "0.38"}, refresh=False)
    bar.n, bar.start_t = 46, bar._time() - 23
    drawn = str(bar)
    bar.disable = True
    return drawn


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120, 200])
def test_a_bar_leaves_room_for_ctrl_c(columns: int) -> None:
    assert disp_len(bar_of(columns)) <= columns - 3


@pytest.mark.parametrize("columns", [70, 80, 100, 120])
def test_the_figures_stay_and_the_bar_shrinks(columns: int) -> None:
    drawn = bar_of(columns)
    assert "46/300" in drawn and drawn.endswith("loss=0.527, val_miou=0.38]")
    assert (TITLE in drawn) == (columns >= 80)
    assert ("%|" in drawn) == (columns > 80)
    assert ("step/s" in drawn) == (columns == 120)


def test_a_title_loses_its_middle() -> None:
    assert shortened("short", 10) == "short"
    assert shortened("lass3d_plus-demo-r2-s0-with-a-tag", 13) == "lass3d…-a-tag"


def test_a_terminal_gets_a_bar_and_a_file_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress_bar(total=3, desc="some", unit="scan") as bar:
        bar.update(3)
    assert isinstance(bar, FittedBar) and "\r" in terminal.getvalue() and "3/3" in terminal.getvalue()
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(progress_bar(total=3, desc="some", unit="scan"), Lines)


def test_a_process_that_is_not_to_speak_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(total=60, desc="some", unit="scan", lines=60, disable=True) as bar:
        bar.update(60)
    assert capsys.readouterr().err == ""
