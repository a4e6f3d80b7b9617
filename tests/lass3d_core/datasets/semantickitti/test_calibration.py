"""poses.txt: what a line means, and every broken file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lass3d_core.datasets.poses import read_poses
from lass3d_core.errors import DataError

FIRST = "1 0 0 0 0 1 0 0 0 0 1 0"
TURNED = "0 0 1 5 0 1 0 -1 -1 0 0 2.5"


def written(folder: Path, text: str) -> Path:
    path = folder / "poses.txt"
    path.write_text(text)
    return path


def test_a_line_is_a_pose_row_by_row(tmp_path: Path) -> None:
    first, turned = read_poses(written(tmp_path, f"{FIRST}\n{TURNED}\n\n"))
    np.testing.assert_array_equal(first, np.eye(4))
    np.testing.assert_array_equal(turned, [[0, 0, 1, 5], [0, 1, 0, -1], [-1, 0, 0, 2.5], [0, 0, 0, 1]])


def test_an_empty_file_has_no_pose(tmp_path: Path) -> None:
    assert read_poses(written(tmp_path, "")).shape == (0, 4, 4)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (f"# mine\n{FIRST}\n1 2 3\n", "line 3: a pose needs 12 numbers, found 3"),
        (FIRST.replace("1", "one"), "line 1: 'one' is no number"),
        (f"{FIRST}\n{FIRST.replace('1', 'nan')}\n", "line 2: 'nan' is no finite number"),
        (FIRST.replace("1 0 0 0 0 1", "2 0 0 0 0 1"), "line 1 is not a pose"),
        (FIRST.replace("1 0 0 0 0 1", "-1 0 0 0 0 1"), "line 1 is not a pose"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(DataError, match=part) as caught:
        read_poses(written(tmp_path, text))
    assert "poses.txt" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_says_what_wants_it(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"poses\.txt does not exist; pairs\.earlier_scans and pairs\.vote need"
    ):
        read_poses(tmp_path / "poses.txt")
    (tmp_path / "poses.txt").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_poses(tmp_path / "poses.txt")
