"""From a file's columns to the features that a model wants: by name, and to its scale.

Decision: a file's integer columns are scaled by what their type can hold, if the model learnt 0 to 1: an
8-bit colour by 255, a 16-bit one by 65535. What was scaled is said. Floating columns are taken as they are;
if they have another scale, the model refuses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lass3d_core.clouds import CloudFile
from lass3d_core.clouds.names import COLOURS, colour_scale, column_named, thing_of
from lass3d_core.errors import DataError
from lass3d_core.model.card import PointFeature


@dataclass(frozen=True)
class Columns:
    """features (N,F) float32. notes: what was scaled, in words."""

    features: np.ndarray
    notes: tuple[str, ...]


def features_of(
    cloud: CloudFile, wanted: Sequence[PointFeature], scales: Mapping[str, float], where: str
) -> Columns:
    """The columns that a model wants, in its order.

    scales: name of a feature -> what its column is divided by, in the place of what its type suggests.
    where: the file, for errors. Raises DataError naming a missing column, and a scale of no feature.
    """
    unknown = [name for name in scales if name not in {one.name for one in wanted}]
    if unknown:
        known = ", ".join(one.name for one in wanted) or "none"
        raise DataError(f"SCALE (--scale) names {unknown[0]!r}; the model's features are: {known}")
    features = np.empty((len(cloud.points), len(wanted)), np.float32)
    notes = []
    for place, feature in enumerate(wanted):
        found = column_named(feature.name, cloud.columns)
        if found is None:
            has = ", ".join(cloud.columns) or "x, y, z alone"
            raise DataError(f"{where} has no column {feature.name}, which the model needs (it has {has})")
        column = cloud.columns[found]
        scale = scales.get(feature.name) or _scale_of(column, feature, cloud)
        if scale != 1:
            notes.append(f"{found} was divided by {scale:g}")
        features[:, place] = column / scale if scale != 1 else column
    return Columns(features, tuple(notes))


def _scale_of(column: np.ndarray, feature: PointFeature, cloud: CloudFile) -> float:
    if column.dtype.kind not in "iu" or feature.high > 2 or not len(column):
        return 1.0
    if thing_of(feature.name) in COLOURS:
        return colour_scale(cloud.columns)
    if column.dtype.itemsize == 1 or column.max() <= 255:
        return 255.0
    return 65535.0
