"""Points, features and labels of one cloud file, by the manifest's keys `columns`, `features` and so on.

It serves the layouts whose files a user may have written: `plain` and `semantickitti`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.clouds import CloudFile, read_cloud
from lass3d_core.clouds.names import COLOURS, INTENSITY, colour_scale, column_named, thing_of
from lass3d_core.datasets import read_sweep
from lass3d_core.errors import DataError, reading
from lass3d_core.labels import LabelSpace
from lass3d_core.manifest.schema import DatasetSpec

_NAME_THEM = (
    "write little-endian float32; if only the columns are others, name them in the manifest, such as "
    "`columns: [x, y, z, intensity, ring]`"
)


@dataclass(frozen=True)
class PointLayout:
    """How the point files of a data set are read.

    columns: of files without names; None: recognised. features: the columns that are features, in order.
    intensity_scale: the stored intensity that stands for 1. unit_m: metres per unit of x, y, z.
    origin (3,): subtracted from x, y, z before they are scaled.
    sweep: the files are float32 rows of these columns, and nothing else is to be found out about them.
    """

    columns: tuple[str, ...] | None
    features: tuple[str, ...]
    intensity_scale: float
    unit_m: float
    origin: tuple[float, ...]
    sweep: bool = False


def layout_of(spec: DatasetSpec, columns: tuple[str, ...], features: tuple[str, ...]) -> PointLayout:
    """The layout by the manifest; `columns` and `features` are what holds where it says nothing."""
    return PointLayout(
        spec.columns or columns or None,
        features if spec.features is None else spec.features,
        spec.intensity_scale,
        spec.unit_m,
        spec.origin or (0.0, 0.0, 0.0),
        sweep=bool(columns) and not spec.columns,
    )


def read_points(path: Path, layout: PointLayout) -> tuple[np.ndarray, np.ndarray]:
    """Points (N,3) float32, metres, and features (N,F) float32 of one file. Raises DataError."""
    if layout.sweep:
        assert layout.columns is not None
        values = read_sweep(path, len(layout.columns), _NAME_THEM)
        cloud = CloudFile(values[:, :3], dict(zip(layout.columns[3:], values.T[3:])))
    else:
        cloud = read_cloud(path, layout.columns)
    return placed(cloud.points, layout), features_of(cloud, layout, path)


def placed(points: np.ndarray, layout: PointLayout) -> np.ndarray:
    """points (N,3) in the file's unit as float32 metres from the layout's origin."""
    if layout.unit_m == 1 and not any(layout.origin):
        return np.ascontiguousarray(points, np.float32)
    # In double precision: single precision holds a map coordinate to half a metre.
    return ((points.astype(np.float64) - np.array(layout.origin)) * layout.unit_m).astype(np.float32)


def features_of(cloud: CloudFile, layout: PointLayout, path: Path) -> np.ndarray:
    """The layout's features (N,F) float32. Raises DataError if a column is missing or not finite."""
    features = np.empty((len(cloud.points), len(layout.features)), np.float32)
    for place, name in enumerate(layout.features):
        column = column_named(name, cloud.columns)
        if column is None:
            has = ", ".join(cloud.columns) or "x, y, z alone"
            raise DataError(f"{path} has no column {name} (it has {has}); mend `features` or `columns`")
        features[:, place] = cloud.columns[column] / np.float32(_scale_of(name, cloud, layout))
    return features


def found_features(cloud: CloudFile) -> tuple[str, ...]:
    """The features that a cloud offers: its intensity, or else its colours, or else none."""
    if column_named(INTENSITY, cloud.columns) is not None:
        return (INTENSITY,)
    return COLOURS if all(column_named(name, cloud.columns) for name in COLOURS) else ()


def read_label_file(path: Path, count: int, space: LabelSpace) -> np.ndarray:
    """Train ids (N,) uint8 of a .label or .npy file for a scan of `count` points. Raises DataError.

    .label: uint32 per point, whose upper 16 bits are the instance and are dropped. .npy: whole numbers (N,).
    """
    if path.suffix.lower() == ".npy":
        with reading(path):
            try:
                stored = np.load(path, allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise DataError(f"{path} is no whole .npy file ({error}); save it again") from None
        if not isinstance(stored, np.ndarray):
            raise DataError(f"{path} holds several arrays; save one with numpy.save")
        raw = whole_numbers(stored.reshape(-1) if stored.ndim == 2 and 1 in stored.shape else stored, path)
        if raw.shape != (count,):
            shape = f"{path} has labels of shape {raw.shape}, its scan {count} points"
            raise DataError(f"{shape}; write both again")
        return space.train_ids(raw, str(path))
    with reading(path):
        content = path.read_bytes()
    if len(content) != 4 * count:
        what = f"{path} has {len(content)} bytes, its scan of {count} points needs {4 * count}"
        raise DataError(f"{what}; copy both again{_ratio_hint(len(content), count)}")
    return space.train_ids(np.frombuffer(content, "<u4") & 0xFFFF, str(path))


def whole_numbers(stored: np.ndarray, path: Path) -> np.ndarray:
    """Labels of any number type as int64. CloudCompare saves them as floats. Raises DataError."""
    if stored.dtype.kind not in "iufb":
        raise DataError(f"{path}: the labels are {stored.dtype}; whole numbers are needed")
    with np.errstate(invalid="ignore"):  # NaN
        raw = stored.astype(np.int64)
    if not np.array_equal(raw, stored):
        first = stored[np.flatnonzero(raw != stored)[0]]
        raise DataError(f"{path}: the label {first} is not a whole number; write the labels again")
    return raw


def _ratio_hint(size: int, count: int) -> str:
    """Which other layout of the points would fit a label file of `size` bytes."""
    points = size / 4
    for columns in (3, 5, 6, 8):
        if points * columns == count * 4:
            double = ", or 4 of float64" if columns == 8 else ""
            return (
                f"; they fit if the scan has {columns} columns{double}: name these in the manifest, `columns`"
            )
    return ""


def _scale_of(name: str, cloud: CloudFile, layout: PointLayout) -> float:
    """What brings a column into [0,1]; 1 for one that is neither intensity nor colour."""
    thing = thing_of(name)
    if thing == INTENSITY:
        return layout.intensity_scale
    return 1.0 if thing is None else colour_scale(cloud.columns)
