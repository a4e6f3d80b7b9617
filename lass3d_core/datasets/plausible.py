"""Whether the numbers of a scan can be metres, intensities and colours. Asked once, where a scan is paired.

A wrong scale or unit damages no file and stops no program; the network only learns from something else.
The limits are far outside of what sensors give, so that no right scan is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lass3d_core.clouds.names import COLOURS, INTENSITY, thing_of
from lass3d_core.errors import DataError
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.records import Scan

HIGHEST = {INTENSITY: 2.0} | dict.fromkeys(COLOURS, 1.004)
"""Decision: an intensity up to 2 passes, because a calibrated reflector may exceed 1. A wrong scale is wrong
by a factor of 100 or more."""

FARTHEST_M = 10_000
"""Of a coordinate from 0. In single precision a point there lies on a grid of a millimetre, and a scan of
this size in voxels of 2 cm can still be counted."""

WIDEST_M = {"scannet": (300, 100), "semantickitti": (2000, 500), "nuscenes": (2000, 500)}
"""Of 98 % of the points, across and up: of a room, and of a vehicle's LiDAR."""

WIDEST_OF_ANY_M = (5000, 1000)

NARROWEST_M = 0.3

_MANY = 1000
"""Points: fewer may all be dark, or close together."""


def require_plausible(scan: Scan, feature_names: Sequence[str], spec: DatasetSpec, where: str) -> None:
    """Raise DataError if coordinates or features cannot be what they should be, saying what would mend it.

    where: the file. Intensities, colours and coordinates are judged; other features have no known range.
    """
    for name, column in zip(feature_names, scan.features.T):
        thing = thing_of(name)
        problem = _problem_of_feature(name, thing, column) if thing and len(column) else None
        if thing and problem:
            raise DataError(f"{where}: {problem}; {_mend_feature(thing, float(column.max()), spec)}")
    problem = _problem_of_points(scan.points, spec) if len(scan.points) else None
    if problem:
        raise DataError(f"{where}: {problem}")


def at_origin(points: np.ndarray) -> int:
    """How many of points (N,3) lie exactly at the origin, as a LiDAR without a return leaves them."""
    return int(np.count_nonzero(~points.any(axis=1)))


def _problem_of_feature(name: str, thing: str, column: np.ndarray) -> str | None:
    low, high = float(column.min()), float(column.max())
    outside = np.count_nonzero((column < -0.01) | (column > HIGHEST[thing]))
    if outside:
        share = f"{outside} of {len(column)} points outside"
        return f"{name} reaches from {low:g} to {high:g}, and must lie in [0, 1] ({share})"
    # Whole numbers of 1/255 are right: a scan of eight bits may be dark.
    twice = 0 < high <= 1.001 / 255 and bool(np.any((column > 0) & (column < 0.999 / 255)))
    if twice and len(column) >= _MANY:
        return f"{name} reaches {high:.2g} only, as if it had been divided twice"
    return None


def _mend_feature(thing: str, high: float, spec: DatasetSpec) -> str:
    if thing in COLOURS:
        return "write colours as whole numbers of 8 or 16 bits, or as floats from 0 to 1"
    if not _has_keys(spec):
        return "write them as the data set does"
    if high < 1:
        return f"`intensity_scale` is {spec.intensity_scale:g} in the manifest; is 1 right?"
    stored = high * spec.intensity_scale
    if stored > 65535:
        return "is the column a time, or in another place? name the columns in the manifest, `columns`"
    scale = 255 if stored <= 255 else 65535
    return f"say which stored value stands for 1, such as `intensity_scale: {scale}` in the manifest"


def _problem_of_points(points: np.ndarray, spec: DatasetSpec) -> str | None:
    """What is wrong with points (N,3), metres, and what mends it."""
    quantiles = np.percentile(points, (1, 50, 99), axis=0)
    found = _wrong_unit(quantiles, spec) if len(points) >= 100 else None
    if found:
        return found
    reach = np.abs(points).max(axis=1)
    far = int(np.count_nonzero(reach > FARTHEST_M))
    if far:
        farthest = ", ".join(f"{value:.6g}" for value in points[reach.argmax()])
        what = f"{far} of {len(points)} points are more than {FARTHEST_M} m from 0, such as ({farthest})"
        return f"{what}; {_mend_far(quantiles[1], spec)}"
    width = float(np.ptp(points, axis=0).max())
    may_be_small = spec.reader == "plain" and spec.unit_m >= 1  # a cloud of a single thing
    if len(points) >= _MANY and 0 < width < NARROWEST_M and not may_be_small:
        return (
            f"all points lie within {width:.2g} m; {'mend `unit_m`' if _has_keys(spec) else 'write metres'}"
        )
    return None


def _wrong_unit(quantiles: np.ndarray, spec: DatasetSpec) -> str | None:
    """quantiles (3,3): of x, y, z below which 1, 50 and 99 % of the points lie."""
    x, y, up = quantiles[2] - quantiles[0]
    most_across, most_up = WIDEST_M.get(spec.reader, WIDEST_OF_ANY_M)
    if max(x, y) <= most_across and up <= most_up:
        return None
    what = f"98 % of the points span {max(x, y):.4g} m across and {up:.4g} m up"
    if _has_keys(spec):
        return f"{what}; if they are millimetres, say `unit_m: 0.001` in the manifest (0.01: centimetres)"
    return f"{what}; if they are millimetres or centimetres, write metres"


def _mend_far(middle: np.ndarray, spec: DatasetSpec) -> str:
    if np.abs(middle).max() <= FARTHEST_M:
        return "drop them"
    if not _has_keys(spec):
        return "if they are map coordinates, subtract those of a place near the points"
    start = spec.origin or (0.0, 0.0, 0.0)
    origin = ", ".join(f"{value / spec.unit_m + old:.0f}" for value, old in zip(middle, start))
    key = f"if they are map coordinates, say `origin: [{origin}]` in the manifest"
    return f"{key}, and keep them in float64, for float32 rounds them to as much as 0.5 m"


def _has_keys(spec: DatasetSpec) -> bool:
    """Whether the manifest can say scale, unit and origin."""
    return spec.reader in ("semantickitti", "plain")
