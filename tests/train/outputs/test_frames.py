from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lass3d_core.errors import DataError, UnknownName
from train.outputs.frames import Sequence3D, chosen_sequence


def run_with(*scan_ids: str) -> Any:
    return SimpleNamespace(pairs=SimpleNamespace(splits={"val": scan_ids, "test": ()}))


DRIVES = run_with("08/000000", "08/000005", "09/000001")


def test_the_first_sequence_is_taken_and_another_by_its_name() -> None:
    assert chosen_sequence(DRIVES, "val", None, None).scan_ids == ("08/000000", "08/000005")
    assert chosen_sequence(DRIVES, "val", "09", None) == Sequence3D("09", "val", ("09/000001",), 1)


def test_a_limit_takes_the_first_frames_and_remembers_how_many_there_are() -> None:
    found = chosen_sequence(DRIVES, "val", "08", 1)
    assert (found.scan_ids, found.in_all) == (("08/000000",), 2)
    long = run_with(*(f"08/{number:06d}" for number in range(300)))
    assert len(chosen_sequence(long, "val", None, None).scan_ids) == 100


def test_a_scene_is_a_sequence_of_its_own() -> None:
    assert chosen_sequence(run_with("scene0011_00", "scene0015_00"), "val", "scene0015_00", None).in_all == 1


def test_frames_have_the_numbers_of_their_files_or_are_counted() -> None:
    assert chosen_sequence(DRIVES, "val", "08", None).numbers == [0, 5]
    assert chosen_sequence(run_with("s/3e8750", "s/ca9a28"), "val", None, None).numbers == [0, 1]


def test_a_wrong_choice_says_what_there_is() -> None:
    with pytest.raises(UnknownName, match=r"no sequence '8' \(it has 08, 09\)"):
        chosen_sequence(DRIVES, "val", "8", None)
    with pytest.raises(DataError, match="the split test has no scans"):
        chosen_sequence(DRIVES, "test", None, None)
