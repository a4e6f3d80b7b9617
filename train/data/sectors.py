"""Parts of scans, and the one cloud that a slot of the batch is made of.

Letters: N points of a scan or of the cloud, K points of a sector, F input features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lass3d_core.records import PairedScan


@dataclass(frozen=True)
class Sector:
    """Part of a scan. rows (K,) int64: its points, ascending. turn: radians about +z, counter-clockwise."""

    scan: PairedScan
    rows: np.ndarray
    turn: float = 0.0

    @classmethod
    def whole(cls, scan: PairedScan) -> Sector:
        """All of the scan, as it stands."""
        return cls(scan, np.arange(len(scan.points)))

    @property
    def points(self) -> np.ndarray:
        """(K,3) float32 metres, turned."""
        points = self.scan.points[self.rows]
        if not self.turn:
            return points
        c, s = np.cos(self.turn), np.sin(self.turn)
        turned: np.ndarray = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)
        return turned


@dataclass(frozen=True)
class SectorCloud:
    """points (N,3) float32 metres; features (N,F); labels (N,) uint8, None where not of one scan; image and
    entity (N,) int64: slots of the batch's texts, NONE without.
    """

    points: np.ndarray
    features: np.ndarray
    labels: np.ndarray | None
    image: np.ndarray
    entity: np.ndarray


def one_cloud(sectors: Sequence[Sector], slots: Iterator[tuple[np.ndarray, np.ndarray]]) -> SectorCloud:
    """Sectors end to end. slots: of each scan's images and phrases among the batch's, NONE last.

    Decision: of several views of a point the first counts, which sees it best centred.
    """
    image, entity = [], []
    for sector in sectors:
        of_image, of_phrase = next(slots)
        pairs, rows = sector.scan.pairs, sector.rows
        image.append(of_image[pairs.image[rows, 0]])
        entity.append(of_phrase[pairs.entity[rows]])
    return SectorCloud(
        np.concatenate([sector.points for sector in sectors]),
        np.concatenate([sector.scan.features[sector.rows] for sector in sectors]),
        sectors[0].scan.labels if len(sectors) == 1 else None,
        np.concatenate(image),
        np.concatenate(entity),
    )
