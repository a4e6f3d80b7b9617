from __future__ import annotations

import numpy as np

from lass3d_core.model.views import view_of

POINT = np.array([[1.0, 2.0, 3.0]])


def test_view_0_is_the_cloud_itself() -> None:
    assert view_of(POINT, 0, 8) is POINT


def test_eight_views_are_four_turns_each_with_a_mirror() -> None:
    expected = [(1, 2), (1, -2), (-2, 1), (2, 1), (-1, -2), (-1, 2), (2, -1), (-2, -1)]
    found = [view_of(POINT, view, 8)[0] for view in range(8)]
    assert np.allclose([xyz[:2] for xyz in found], expected)
    assert all(xyz[2] == 3 for xyz in found)
