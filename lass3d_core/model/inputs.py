"""What a caller hands to a model, checked once: points, and the features that the model learnt from.

A wrong scale is a wrong result without a word: remission of 0 to 255 given to a model of 0 to 1 is refused.
Letters: N points, F features.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.model.card import ModelCard, PointFeature

MANY = 0.01
"""A larger share of values beyond the learnt range, and by more than the range's width, is another scale."""

_FLOAT16_MAX = float(np.finfo(np.float16).max)


def checked_points(points: np.ndarray) -> np.ndarray:
    """points (N,3), metres, as an array of finite float32 or float64.

    Raises DataError: another shape, no points, values that are no numbers.
    """
    if points.ndim != 2 or points.shape[1] != 3:
        raise DataError(
            f"points must have shape (N, 3), got {points.shape}; give further columns as `features`"
        )
    if not len(points):
        raise DataError("the cloud has no points")
    if points.dtype.kind not in "fiu":
        raise DataError(f"points must be numbers, got {points.dtype}")
    points = points if points.dtype in (np.float32, np.float64) else points.astype(np.float64)
    _require_finite(points, "points")
    return points


def checked_features(features: np.ndarray | None, card: ModelCard, count: int) -> np.ndarray:
    """features (N,F) as finite float32, in the range that the model learnt; (N,) is taken for (N,1).

    They are rounded as the shards round them: a cloud has the labels that `make export` gives its scan.
    Raises DataError: missing, too many or too few columns, not finite, of another scale.
    Warns by name if some values lie beyond the learnt range.
    """
    names = card.features
    if features is None:
        if names:
            raise DataError(
                f"the model needs {_asked_for(names)} for every point; give `features` (N, {len(names)})"
            )
        return np.zeros((count, 0), np.float32)
    if features.ndim == 1:
        features = features[:, None]
    if features.ndim != 2 or len(features) != count:
        raise DataError(f"features must have shape ({count}, {len(names)}), got {features.shape}")
    if features.shape[1] != len(names):
        wanted = _asked_for(names) if names else "no features"
        raise DataError(f"features has {features.shape[1]} columns; the model needs {wanted}")
    if features.dtype.kind not in "fiub":
        raise DataError(f"features must be numbers, got {features.dtype}")
    features = features.astype(np.float32, copy=False)
    _require_finite(features, "features")
    for column, feature in zip(features.T, names):
        _check_range(column, feature)
    # No model learnt a value beyond float16: a shard does not take it.
    return features.clip(-_FLOAT16_MAX, _FLOAT16_MAX).astype(np.float16).astype(np.float32)


def warn_if_far(points: np.ndarray, card: ModelCard) -> None:
    """Warn if the cloud is ten times as large as those that the model learnt: millimetres, or a map."""
    seen = points[:: max(1, len(points) // 10_000)].astype(np.float64)
    seen = seen - seen.min(axis=0) if card.from_corner else seen
    reach = float(np.quantile(np.linalg.norm(seen, axis=1), 0.99))
    if reach > 10 * card.reach_m:
        warnings.warn(
            f"points lie up to {reach:.0f} from the origin, in training up to {card.reach_m:.0f} m; "
            "are they in metres, and is the sensor at the origin?",
            stacklevel=3,
        )


def _check_range(column: np.ndarray, feature: PointFeature) -> None:
    low, high = float(column.min()), float(column.max())
    if feature.low <= low and high <= feature.high:
        return
    width = max(feature.high - feature.low, 1e-6)
    beyond = np.maximum(feature.low - column, column - feature.high)
    learnt = f"the model learnt {feature.low:.3g} to {feature.high:.3g}"
    if np.mean(beyond > width) > MANY:
        raise DataError(
            f"the feature {feature.name} reaches from {low:.3g} to {high:.3g}, {learnt}: it has another scale"
            f"{_hint(high, feature)}"
        )
    if np.any(beyond > 0.5 * width):
        warnings.warn(
            f"the feature {feature.name} reaches from {low:.3g} to {high:.3g}, {learnt}", stacklevel=4
        )


def _hint(high: float, feature: PointFeature) -> str:
    for scale in (255, 65535, 100):
        if high <= scale and 0.05 * scale <= high and feature.high <= 2:
            return f"; divide it by {scale}"
    return ""


def _asked_for(features: Sequence[PointFeature]) -> str:
    return ", ".join(f"{one.name} ({one.low:.3g} to {one.high:.3g})" for one in features)


def _require_finite(values: np.ndarray, name: str) -> None:
    # NaN and infinity show in the least or the largest value, which need no memory.
    if np.isfinite([values.min(initial=0), values.max(initial=0)]).all():
        return
    bad = ~np.isfinite(values).all(axis=1)
    row = int(np.flatnonzero(bad)[0])
    raise DataError(
        f"{name}: {int(bad.sum())} of {len(values)} rows hold NaN or infinity, the first is row {row}; "
        "drop such points"
    )
