"""A headerless file of another layout is recognised; a cloud of the right one never is, whatever it shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.clouds.headerless_look import clearest_width, other_layout


def scan(count: int = 3000, seed: int = 0) -> np.ndarray:
    """(count,5) float32: x, y, z, intensity in [0,1] and ring of a street; walls, ground, all in order."""
    rng = np.random.default_rng(seed)
    angle, ring = np.linspace(-np.pi, np.pi, count), np.arange(count) % 16
    reach = np.minimum(
        1.7 / np.maximum(np.tan(np.linspace(0.4, -0.1, 16))[ring], 0.02), rng.uniform(8, 60, count)
    )
    xyz = np.stack([reach * np.cos(angle), reach * np.sin(angle), rng.normal(-0.5, 0.8, count)], axis=1)
    return np.column_stack([xyz, rng.uniform(0, 1, count) ** 2, ring]).astype(np.float32)


OTHERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int, str]] = {
    "5 in 4": (lambda five: five, 4, "rows of 5 float32"),
    "5 in 4, shuffled": (lambda five: np.random.default_rng(1).permutation(five), 4, "rows of 5 float32"),
    "4 in 5": (lambda five: five[:, :4], 5, "rows of 4 float32"),
    "3 in 4": (lambda five: five[:, :3], 4, "rows of 3 float32"),
    "6 in 4": (lambda five: np.column_stack([five, 90 * five[:, 3]]), 4, "rows of 6 float32"),
    "7 in 5": (lambda five: np.column_stack([five, five[:, 3:]]), 5, "rows of 7 float32"),
    "double": (lambda five: five[:, :4].astype("<f8"), 4, "rows of 4 float64"),
    "double with noise": (lambda five: five.astype("<f8") + 1e-9 * np.arange(5), 5, "rows of 5 float64"),
    "rounded double": (lambda five: np.round(five[:, :4] * 16).astype("<f8") / 16, 4, "rows of 4 float64"),
    "big-endian": (lambda five: five[:, :4].astype(">f4"), 4, "rows of 4 big-endian float32"),
    "rounded big-endian": (lambda five: np.round(five[:, :4], 1).astype(">f4"), 4, "big-endian float32"),
    "big-endian double": (lambda five: five[:, :4].astype(">f8"), 4, "rows of 4 big-endian float64"),
    "transposed": (lambda five: five[:, :4].T, 4, "4 columns that are stored one after the other"),
    "noise": (
        lambda five: np.random.default_rng(2).integers(0, 1 << 32, (3000, 4), np.uint32),
        4,
        "no coordinates",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_layout_is_recognised(name: str) -> None:
    change, columns, looks = OTHERS[name]
    found = other_layout(np.ascontiguousarray(change(scan())).tobytes(), columns)
    assert found is not None and looks in found


def test_a_cut_file_is_not_taken_for_another_layout() -> None:
    content = scan()[:, :4].tobytes()
    for end in (-3, -4, -8, -12):
        assert other_layout(content[:end], 4) is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_cloud_of_the_right_layout_is_never_refused(data: st.DataObject) -> None:
    columns = data.draw(st.sampled_from([3, 4, 5]))
    rows = scan(data.draw(st.integers(0, 3000)), data.draw(st.integers(0, 99)))[:, :columns]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    kinds = ["order", "crop", "thin", "zeros", "twice", "room", "rounded", "flat", "nan", "bytes", "lasers"]
    for kind in data.draw(st.lists(st.sampled_from(kinds), max_size=3)):
        rows = rows.copy()
        if not len(rows):
            break
        if kind == "order":
            rows = rng.permutation(rows)
        elif kind == "crop":
            rows = rows[rows[:, 0] > rng.uniform(-20, 20)]
        elif kind == "thin":
            rows = rows[:: rng.integers(1, 40)]
        elif kind == "zeros":
            rows[rng.random(len(rows)) < rng.random()] = 0
        elif kind == "twice":
            rows = np.repeat(rows, 2, axis=0)
            rows[1::2] *= rng.integers(0, 2)  # the second return, or none
        elif kind == "room":
            rows[:, :3] *= 0.05
        elif kind == "rounded":
            rows = np.round(rows)
        elif kind == "flat":
            rows[:, 2] = 0
        elif kind == "nan":
            rows[rng.random(len(rows)) < 0.3] = np.nan
        elif kind == "bytes" and columns > 3:
            rows[:, 3] = np.round(255 * rows[:, 3])
        elif kind == "lasers":  # in the order of firing, which alternates between low and high
            rows = rows[
                np.argsort(np.arange(len(rows)) // 16 * 16 + np.arange(len(rows)) * 7 % 16, kind="stable")
            ]
    assert other_layout(np.ascontiguousarray(rows, "<f4").tobytes(), columns) is None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(st.integers(0, 400), st.sampled_from([4, 5])),
    spread=st.tuples(*[st.floats(1e-3, 50)] * 2, *[st.just(0.0) | st.floats(1e-3, 50)] * 3),
)
def test_random_points_of_any_spread_are_never_refused(
    seed: int, shape: tuple[int, int], spread: tuple[float, ...]
) -> None:
    rows = np.random.default_rng(seed).normal(size=shape) * spread[: shape[1]]
    assert other_layout(rows.astype("<f4").tobytes(), shape[1]) is None


def test_real_scans_are_their_own_layout_and_no_other(samples: Path) -> None:
    for path in (
        *samples.rglob("velodyne/*.bin"),
        *samples.glob("*/velodyne_*.bin"),
        *samples.rglob("LIDAR_TOP.bin"),
    ):
        columns = 5 if path.name == "LIDAR_TOP.bin" else 4
        content = path.read_bytes()
        assert other_layout(content, columns) is None
        assert other_layout(content, 9 - columns) == f"rows of {columns} float32"
        assert clearest_width(np.frombuffer(content, "<f4"))[0] == columns
