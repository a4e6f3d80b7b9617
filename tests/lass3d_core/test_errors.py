"""What a user did is one line and status 2, Ctrl-C is 130, and our own faults keep their traceback."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lass3d_core import errors
from lass3d_core.errors import DataError, Lass3dError, exit_status


def failing(fault: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise fault

    return main


def test_a_main_that_ends_well_has_its_own_status() -> None:
    assert exit_status(lambda: None) == 0 and exit_status(lambda: 3) == 3


def test_an_error_of_ours_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(failing(DataError("000.bin is cut off; copy it again"))) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: 000.bin is cut off; copy it again\n" and captured.out == ""


def test_ctrl_c_says_how_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(failing(KeyboardInterrupt()), "make train RESUME=1") == 130
    assert capsys.readouterr().err == "interrupted: nothing is half-written; make train RESUME=1\n"


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_status(failing(ZeroDivisionError()))


def test_every_error_is_one_that_a_user_can_mend() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) == 9 and all(issubclass(kind, Lass3dError) for kind in kinds)
