"""The files of a folder by frame."""

from __future__ import annotations

from pathlib import Path

import pytest

from lass3d_core.errors import DataError
from lass3d_core.files.listing import by_stem


def test_files_are_found_by_name_in_order_whatever_the_case_of_the_suffix(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "c.txt", "._a.jpg", ".png", "d.png.part"):
        (tmp_path / name).touch()
    assert by_stem(tmp_path, (".png", ".jpg")) == {"a": tmp_path / "a.jpg", "b": tmp_path / "b.PNG"}


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert by_stem(tmp_path / "no", (".png",)) == {}


def test_a_dangling_link_is_listed_so_that_reading_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.bin").symlink_to(tmp_path / "gone")
    assert list(by_stem(tmp_path, (".bin",))) == ["a"]


def test_two_files_of_one_frame_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"a\.jpg and a\.png are files of one frame; delete one"):
        by_stem(tmp_path, (".png", ".jpg"))
