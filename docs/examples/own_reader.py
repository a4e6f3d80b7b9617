"""A reader: SEQUENCE/FRAME.csv with x, y, z, intensity and class, FRAME.jpg from a front camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lass3d_core.datasets import Dataset, ScanFiles, readable
from lass3d_core.datasets.plain.reader import PlainSubmission
from lass3d_core.errors import DataError, reading
from lass3d_core.labels import IGNORE, LabelSpace
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.records import Camera, FilePart, ImageFile, Scan, View

CLASSES = LabelSpace(("ground", "crate"), {0: IGNORE, 7: 0, 3: 1}, (7, 3), ((128, 128, 128), (220, 120, 20)))
K = np.array([[80.0, 0, 64], [0, 80, 48], [0, 0, 1]])  # pixels
CAM_FROM_POINTS = np.array(
    [[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
)  # x forward -> z forward


class CsvScans(Dataset):
    """A scan id is "SEQUENCE/FRAME"."""

    official = CLASSES
    feature_names = ("intensity",)

    def __init__(self, spec: DatasetSpec, scratch: Path | None = None) -> None:
        super().__init__(spec, scratch)
        self._root = spec.root

    def _scans_in(self, sequence: str, split: str) -> list[str]:
        found = sorted((self._root / sequence).glob("*.csv"))
        if not found:
            raise DataError(f"{self._root / sequence} holds no .csv file; mend `root` or `splits`")
        return [f"{sequence}/{path.stem}" for path in found]

    def read_scan(self, scan_id: str) -> Scan:
        path = self._root / f"{scan_id}.csv"
        with reading(path):
            rows = np.loadtxt(path, delimiter=",", ndmin=2)
        points, intensity = rows[:, :3].astype(np.float32), rows[:, 3:4].astype(np.float32)
        labels = self.label_space.train_ids(rows[:, 4].astype(np.int64), str(path))
        return Scan(scan_id, points, intensity, labels, self.views(scan_id))

    def images(self, scan_id: str) -> tuple[ImageFile, ...]:
        return (ImageFile(f"{scan_id}/front", FilePart(self._root / f"{scan_id}.jpg")),)

    def views(self, scan_id: str) -> tuple[View, ...]:
        found = readable(self.images(scan_id))
        return tuple(
            View(one.image_id, one.image, Camera(K, CAM_FROM_POINTS, size_hw)) for one, size_hw in found
        )

    def input_files(self, scan_id: str) -> ScanFiles:
        images = tuple(one.image for one in self.images(scan_id))
        return ScanFiles(points=(FilePart(self._root / f"{scan_id}.csv"),), images=images)


class CsvSubmission(PlainSubmission):
    """The plain form, with these classes."""

    official = CLASSES


DATASET, SUBMISSION = CsvScans, CsvSubmission
