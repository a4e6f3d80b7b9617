"""Numbers that cannot be metres, intensities or colours are one line with what mends them; others pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.datasets.plausible import at_origin, require_plausible
from lass3d_core.errors import DataError
from lass3d_core.manifest.classes import ClassesSpec
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from lass3d_core.records import Scan

RGB = ("red", "green", "blue")
MAP = np.array([4.5e5, 5.4e6, 200])


def spec_of(reader: Any = "semantickitti", **values: Any) -> DatasetSpec:
    classes = ClassesSpec({"a": (1,)}) if reader == "plain" else ClassesSpec()
    return DatasetSpec(reader, Path("data"), SplitSpec(("00",), ("01",)), classes=classes, **values)


def street(count: int = 2000, seed: int = 0) -> np.ndarray:
    """(count,3) float32: a LiDAR's points up to 80 m away."""
    rng = np.random.default_rng(seed)
    angle, reach = rng.uniform(-np.pi, np.pi, count), rng.exponential(15, count).clip(2, 80)
    return np.stack([reach * np.cos(angle), reach * np.sin(angle), rng.normal(0, 2, count)], 1).astype("f4")


def room(count: int = 2000) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, (5, 4, 2.5), (count, 3)).astype(np.float32)


def complaint(
    points: np.ndarray, features: np.ndarray, names: tuple[str, ...], spec: DatasetSpec
) -> str | None:
    scan = Scan("00/000000", points.astype(np.float32), features.astype(np.float32), None, ())
    try:
        require_plausible(scan, names, spec, "a.bin")
    except DataError as error:
        assert str(error).startswith("a.bin: ") and "\n" not in str(error)
        return str(error)
    return None


UNIFORM = np.random.default_rng(3).uniform(0, 1, (2000, 1)).astype(np.float32)

FEATURES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Any, str]] = {
    "bytes": (lambda u: np.round(u * 255), "semantickitti", "such as `intensity_scale: 255`"),
    "16 bits": (lambda u: np.round(u * 65535), "plain", "such as `intensity_scale: 65535`"),
    "per cent": (lambda u: u * 100, "semantickitti", "such as `intensity_scale: 255`"),
    "12 bits": (lambda u: u * 4095, "plain", "such as `intensity_scale: 65535`"),
    "a time": (lambda u: 1.7e9 + u, "semantickitti", "is the column a time, or in another place?"),
    "decibels": (lambda u: -30 * u, "semantickitti", "reaches from -2"),
    "divided twice": (lambda u: u / 255 / 1.001, "nuscenes", "as if it had been divided twice"),
    "bytes of nuscenes": (lambda u: u * 255, "nuscenes", "write them as the data set does"),
}


@pytest.mark.parametrize("name", FEATURES)
def test_an_intensity_out_of_its_range_is_one_line(name: str) -> None:
    change, reader, mend = FEATURES[name]
    found = complaint(street(), change(UNIFORM), ("remission",), spec_of(reader))
    assert found is not None and "remission reaches " in found and mend in found


@pytest.mark.parametrize("scale", [255, 65535, 2, 1 / 255 / 1.01])
def test_a_colour_out_of_its_range_is_one_line(scale: float) -> None:
    found = complaint(room(), np.repeat(UNIFORM, 3, 1) * scale, RGB, spec_of("scannet"))
    assert found is not None and "red reaches " in found and "floats from 0 to 1" in found


def test_the_scale_that_was_given_is_part_of_the_advice() -> None:
    found = complaint(street(), UNIFORM / 300, ("intensity",), spec_of(intensity_scale=255.0))
    assert found is not None and "`intensity_scale` is 255 in the manifest; is 1 right?" in found
    found = complaint(street(), UNIFORM * 255, ("intensity",), spec_of("plain", intensity_scale=255.0))
    assert found is not None and "`intensity_scale: 65535`" in found


POINTS: dict[str, tuple[Callable[[], np.ndarray], Any, str]] = {
    "a room in millimetres": (lambda: room() * 1000, "scannet", "write metres"),
    "a room in centimetres": (lambda: room() * 100, "scannet", "write metres"),
    "a street in millimetres": (lambda: street() * 1000, "semantickitti", "`unit_m: 0.001`"),
    "a street in centimetres": (lambda: street() * 100, "nuscenes", "write metres"),
    "a plain room in millimetres": (lambda: room() * 1000, "plain", "`unit_m: 0.001`"),
    "a map": (lambda: street().astype("f8") + MAP, "plain", "`origin: [450000, 54000"),
    "two points of a map": (lambda: street(2) + MAP, "semantickitti", "`origin: [4"),
    "a map of meshes": (lambda: room() + MAP, "scannet", "subtract those of a place near"),
    "one point": (lambda: np.vstack([street(), [[0, 3e8, 0]]]), "plain", "1 of 2001 points are more than"),
    "a sentinel": (lambda: np.vstack([street(), [[1e6] * 3] * 9]), "nuscenes", "9 of 2009 points"),
    "kilometres": (lambda: street() / 1000, "semantickitti", "all points lie within"),
}


@pytest.mark.parametrize("name", POINTS)
def test_coordinates_that_are_no_metres_near_zero_are_one_line(name: str) -> None:
    points, reader, mend = POINTS[name]
    found = complaint(points(), np.zeros((len(points()), 0)), (), spec_of(reader))
    assert found is not None and mend in found


def test_the_origin_that_is_proposed_mends_the_map() -> None:
    stored = street().astype(np.float64) * 1000 + (4.5e8, 5.4e9, 0)
    spec = spec_of("plain", unit_m=0.001, origin=(1000.0, 0.0, 0.0))
    found = complaint((stored - spec.origin) * 0.001, np.zeros((2000, 0)), (), spec)
    assert found is not None
    origin = tuple(float(value) for value in found.split("origin: [")[1].split("]")[0].split(","))
    mended = replace(spec, origin=origin)
    assert complaint((stored - mended.origin) * 0.001, np.zeros((2000, 0)), (), mended) is None


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 3000),
    seed=st.integers(0, 99),
    highest=st.sampled_from([0.0, 1 / 255, 0.01, 0.99, 1.0, 1.6]),
    kind=st.sampled_from(["as it is", "zeros", "one place", "thin", "bytes"]),
    reader=st.sampled_from(["semantickitti", "nuscenes", "plain"]),
)
def test_a_scan_is_never_refused_for_what_it_shows(
    count: int, seed: int, highest: float, kind: str, reader: str
) -> None:
    points, column = street(count, seed), np.random.default_rng(seed).uniform(0, highest, (count, 1))
    if highest <= 1 / 255 or kind == "bytes":  # a dark scan of eight bits
        column = np.round(column * 255) / 255
    if kind == "zeros":
        points[::2] = 0
    elif kind == "one place":
        points[:] = (3, 4, 5)
    elif kind == "thin":
        points[:, 2] = 0
    assert complaint(points, column, ("intensity",), spec_of(reader)) is None


def test_features_without_a_known_range_are_not_judged() -> None:
    assert complaint(street(), UNIFORM * 1e4, ("ring",), spec_of("plain")) is None


def test_real_scans_pass(samples: Path) -> None:
    for path in (*samples.rglob("velodyne/*.bin"), *samples.rglob("LIDAR_TOP.bin")):
        is_nuscenes = path.name == "LIDAR_TOP.bin"
        rows = np.fromfile(path, "<f4").reshape(-1, 5 if is_nuscenes else 4)
        column = rows[:, 3:4] / (255 if is_nuscenes else 1)
        assert complaint(rows[:, :3], column, ("i",), spec_of("nuscenes" if is_nuscenes else "plain")) is None


def test_points_at_the_origin_are_counted() -> None:
    points = np.array([[0, 0, 0], [0, 0, -0.0], [0, 1e-9, 0], [1, 0, 0]], np.float32)
    assert at_origin(points) == 2 and at_origin(points[:0]) == 0
