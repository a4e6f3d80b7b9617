"""calibration.json: every key is checked, K fits the image, a lens is handed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lass3d_core.datasets.plain.calibration import camera_of, read_calibration
from lass3d_core.errors import DataError
from lass3d_core.records import Camera, Distortion
from tests.lass3d_core.datasets.plain_files import FRONT


def camera(tmp_path: Path, changes: dict[str, Any], size_hw: tuple[int, int] = (48, 64)) -> Camera:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"cameras": {"front": FRONT | changes}}))
    return camera_of(read_calibration(path), "front", size_hw, path, Path("000000.png"))


def test_a_camera_has_its_matrices(tmp_path: Path) -> None:
    found = camera(tmp_path, {})
    np.testing.assert_array_equal(found.K, FRONT["K"])
    np.testing.assert_array_equal(found.cam_from_points, FRONT["cam_from_lidar"])
    assert found.size_hw == (48, 64) and found.distortion is None


def test_a_lens_is_handed_on(tmp_path: Path) -> None:
    found = camera(tmp_path, {"distortion": [0.1, 0, 0, 0], "model": "fisheye"})
    assert found.distortion == Distortion("fisheye", (0.1, 0, 0, 0))


def test_K_is_scaled_to_images_of_half_the_size(tmp_path: Path) -> None:
    found = camera(tmp_path, {"size_wh": [64, 48]}, size_hw=(24, 32))
    np.testing.assert_allclose(found.K, [[20, 0, 16], [0, 20, 12], [0, 0, 1]])


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"K": [[40, 0, 32], [0, 40, 24]]}, r"cameras\.front\.K"),
        ({"K": [[40, 0, 32], [0, 40, 24], [0, 0, 2]]}, r"`K` must be"),
        ({"K": [[-40, 0, 32], [0, 40, 24], [0, 0, 1]]}, r"`K` must be"),
        ({"K": [["40", 0, 32], [0, 40, 24], [0, 0, 1]]}, r"cameras\.front\.K"),
        ({"cam_from_lidar": [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]}, "must be a rotation"),
        ({"cam_from_lidar": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]]}, "must be a rotation"),
        ({"cam_from_lidar": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]}, "must be a rotation"),
        ({"distortion": [0.1, 0.2]}, "needs 4 or 5 or 8 numbers, got 2"),
        ({"distortion": [0.1] * 5, "model": "fisheye"}, "fisheye needs 4 numbers, got 5"),
        ({"model": "pinhole"}, r"cameras\.front\.model"),
        ({"distorsion": [0, 0, 0, 0]}, "distorsion.*did you mean 'distortion'"),
    ],
)
def test_a_wrong_entry_is_one_line_with_its_key(
    tmp_path: Path, changes: dict[str, Any], pattern: str
) -> None:
    with pytest.raises(DataError, match=pattern) as caught:
        camera(tmp_path, changes)
    assert "\n" not in str(caught.value) and "calibration.json" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "size_hw", "pattern"),
    [
        ({}, (480, 640), r"is 640 x 480 pixels, and the principal point .* is \(32, 24\): give `size_wh`"),
        ({"size_wh": [64, 48]}, (48, 100), r"says 64 x 48: it was cropped"),
    ],
)
def test_K_of_other_images_is_refused(
    tmp_path: Path, changes: dict[str, Any], size_hw: tuple[int, int], pattern: str
) -> None:
    with pytest.raises(DataError, match=pattern):
        camera(tmp_path, changes, size_hw)
