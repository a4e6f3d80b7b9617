from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.viewer.packing import LEAST_STEP_M, packed, packed_levels, quantise
from tests.lass3d_core.viewer.conftest import InNode


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 99), size=st.floats(0.1, 1e4), shift=st.floats(-1e6, 1e6), count=st.integers(1, 50)
)
def test_quantised_points_come_back_within_half_a_step(
    seed: int, size: float, shift: float, count: int
) -> None:
    points = shift + size * np.random.default_rng(seed).random((count, 3))
    levels, origin, step = quantise(points)
    assert np.abs(origin + step * levels.astype(float) - points).max() <= 0.5 * step + 1e-9


def test_three_hundred_metres_are_kept_to_the_least_step() -> None:
    points = np.random.default_rng(0).uniform(-150, 150, (1000, 3)).astype(np.float32)
    assert quantise(points)[2] == LEAST_STEP_M


def test_all_points_in_one_place_are_no_fault() -> None:
    levels, origin, step = quantise(np.full((4, 3), 7.0))
    assert origin == (7.0, 7.0, 7.0) and step > 0 and not levels.any()


def test_the_script_reads_what_is_packed(in_node: InNode) -> None:
    rng = np.random.default_rng(1)
    levels = rng.integers(0, 65536, (500, 3)).astype(np.uint16)
    levels[:4] = [[0, 65535, 0], [65535, 0, 32768], [0, 32768, 0], [32767, 0, 65535]]
    text, small = rng.integers(0, 65536, 500).astype(np.uint16), rng.integers(0, 256, 500).astype(np.uint8)
    found = in_node(
        """return { xyz: [...positions(wide(await inflated(given.xyz)), 1)],
                    text: [...wide(await inflated(given.text))],
                    small: [...await inflated(given.small)] };""",
        xyz=packed_levels(levels),
        text=packed(text),
        small=packed(small),
    )
    assert np.array_equal(np.reshape(found["xyz"], (500, 3)), levels)
    assert found["text"] == text.tolist() and found["small"] == small.tolist()
