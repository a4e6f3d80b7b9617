"""The plain layout.

`root/SEQUENCE/` holds
- points/FRAME.bin, .npy, .ply, .pcd, .las or .laz, the points,
- labels/FRAME.label or .npy, unless the clouds hold their labels, or there are none,
- images/CAMERA/NAME.png or .jpg, for any number of cameras, which may differ from sequence to sequence,
- calibration.json, if there are images (see calibration.py),
- poses.txt, only if other scans lend their images: line n is the pose of the n-th scan, world from LiDAR.
A scan id is "SEQUENCE/FRAME", an image id "SEQUENCE/NAME/CAMERA". matching.py says which image a scan gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from lass3d_core.clouds import SUFFIXES, CloudFile, read_cloud
from lass3d_core.datasets import ScanFiles, Submission, readable
from lass3d_core.datasets.plain.calibration import camera_of, read_calibration
from lass3d_core.datasets.plain.matching import images_of_scans
from lass3d_core.datasets.points import (
    PointLayout,
    features_of,
    found_features,
    layout_of,
    placed,
    read_label_file,
    whole_numbers,
)
from lass3d_core.datasets.poses import read_poses
from lass3d_core.datasets.sequences import SequenceDataset
from lass3d_core.errors import DataError
from lass3d_core.files.listing import IMAGE_SUFFIXES, by_stem
from lass3d_core.labels import AbsentClasses
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.records import FilePart, ImageFile, Scan, View

LABEL_SUFFIXES = (".label", ".npy")

LABEL_COLUMNS = tuple(
    prefix + name
    for name in ("label", "labels", "class", "semantic", "classification")
    for prefix in ("", "scalar_")
)
"""Names of a column of labels, in lower case, in the order of preference. CloudCompare writes `scalar_`."""


class Plain(SequenceDataset):
    """The plain layout. The features are the intensity or the colours, unless the manifest names others."""

    def __init__(self, spec: DatasetSpec, scratch: Path | None = None) -> None:
        super().__init__(spec, scratch)
        self._spec = spec
        self._root = spec.root
        self._listed = cache(by_stem)
        self._calibration = cache(read_calibration)
        self._poses = cache(read_poses)
        self._matched = cache(self._match)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the manifest, or what the first scan offers."""
        if self._spec.features is not None:
            return self._spec.features
        first = next(sequence for sequences in self._splits.values() for sequence in sequences)
        frame = next(iter(self._points_in(first)), None)
        if frame is None:
            raise self._no_points(first)
        return found_features(read_cloud(self._points_in(first)[frame], self._spec.columns or None))

    def read_scan(self, scan_id: str) -> Scan:
        """See Dataset. The features are in the order of `feature_names`."""
        path = self._points(scan_id)
        cloud = read_cloud(path, self._layout.columns if path.suffix.lower() in (".bin", ".npy") else None)
        points, features = placed(cloud.points, self._layout), features_of(cloud, self._layout, path)
        return Scan(scan_id, points, features, self._labels(scan_id, cloud), self.views(scan_id))

    def images(self, scan_id: str) -> tuple[ImageFile, ...]:
        """See Dataset: an image for each camera that has one for this scan."""
        sequence, frame = scan_id.split("/")
        found = []
        for camera in self._cameras(sequence):
            listed = self._listed(self._root / sequence / "images" / camera, IMAGE_SUFFIXES)
            name = self._matched(sequence, camera).get(frame)
            if name is not None:
                found.append(ImageFile(f"{sequence}/{name}/{camera}", FilePart(listed[name])))
        return tuple(found)

    def views(self, scan_id: str) -> tuple[View, ...]:
        """See Dataset."""
        return tuple(self._view(scan_id, one, size_hw) for one, size_hw in readable(self.images(scan_id)))

    def input_files(self, scan_id: str) -> ScanFiles:
        """See Dataset. The calibration of the sequence is among `points`."""
        path, images = self._label_file(scan_id), self.images(scan_id)
        labels = FilePart(path) if path else None
        calibration = [FilePart(self._file(scan_id, "calibration.json"))] if images else []
        return ScanFiles(
            points=(FilePart(self._points(scan_id)), *([labels] if labels else []), *calibration),
            images=tuple(one.image for one in images),
            labels=labels,
            poses=FilePart(self._file(scan_id, "poses.txt")),
        )

    @cached_property
    def _layout(self) -> PointLayout:
        return layout_of(self._spec, (), self.feature_names)

    def _scans_in(self, sequence: str, split: str) -> list[str]:
        scan_ids = self._list_scans(sequence)
        if not scan_ids:
            raise self._no_points(sequence)
        return scan_ids

    def _no_points(self, sequence: str) -> DataError:
        folder = self._root / sequence / "points"
        return DataError(f"{folder} holds no {', '.join(SUFFIXES)} file; mend `root` or `splits`")

    def _list_scans(self, sequence: str) -> list[str]:
        return [f"{sequence}/{frame}" for frame in self._points_in(sequence)]

    def _points_in(self, sequence: str) -> Mapping[str, Path]:
        return self._listed(self._root / sequence / "points", SUFFIXES)

    def _points(self, scan_id: str) -> Path:
        sequence, frame = scan_id.split("/")
        return self._points_in(sequence).get(frame, self._root / sequence / "points" / f"{frame}.bin")

    def _file(self, scan_id: str, name: str) -> Path:
        """A file of the scan's sequence."""
        return self._root / scan_id.split("/")[0] / name

    def _label_file(self, scan_id: str) -> Path | None:
        return self._listed(self._file(scan_id, "labels"), LABEL_SUFFIXES).get(scan_id.split("/")[1])

    def _labels(self, scan_id: str, cloud: CloudFile) -> np.ndarray | None:
        """Train ids (N,) uint8: of the label file; else, if the sequence has no `labels/`, of the cloud."""
        path, count = self._label_file(scan_id), len(cloud.points)
        if path is not None:
            return read_label_file(path, count, self.label_space)
        if self._file(scan_id, "labels").is_dir():
            return None
        column, cloud_path = self._label_column(scan_id, cloud), self._points(scan_id)
        if column is None:
            return None
        raw = whole_numbers(cloud.columns[column], cloud_path)
        return self.label_space.train_ids(raw, f"{cloud_path}, column {column}")

    def _label_column(self, scan_id: str, cloud: CloudFile) -> str | None:
        wanted = self._spec.label_column
        if wanted and wanted not in cloud.columns:
            has = ", ".join(cloud.columns) or "x, y, z alone"
            raise DataError(
                f"{self._points(scan_id)} has no column {wanted!r} (it has {has}); mend `label_column`"
            )
        lower = {name.lower(): name for name in cloud.columns}
        return wanted or next((lower[name] for name in LABEL_COLUMNS if name in lower), None)

    def _cameras(self, sequence: str) -> tuple[str, ...]:
        """The cameras to use: those in `views`, or every folder below images/."""
        if self._spec.views is not None:
            return self._spec.views
        folder = self._root / sequence / "images"
        below = folder.iterdir() if folder.is_dir() else ()
        return tuple(sorted(one.name for one in below if one.is_dir() and not one.name.startswith(".")))

    def _match(self, sequence: str, camera: str) -> dict[str, str]:
        folder = self._root / sequence / "images" / camera
        listed = self._listed(folder, IMAGE_SUFFIXES)
        return images_of_scans(
            tuple(self._points_in(sequence)), listed, self._spec.max_time_gap_s, str(folder)
        )

    def _view(self, scan_id: str, one: ImageFile, size_hw: tuple[int, int]) -> View:
        path, name = self._file(scan_id, "calibration.json"), one.image_id.rpartition("/")[2]
        camera = camera_of(self._calibration(path), name, size_hw, path, one.image.path)
        return View(one.image_id, one.image, camera)

    def world_from_points(self, scan_id: str) -> np.ndarray:
        """See Dataset."""
        path = self._file(scan_id, "poses.txt")
        poses, scans = self._poses(path), self._list_scans(scan_id.split("/")[0])
        if len(poses) != len(scans):
            raise DataError(f"{path} has {len(poses)} poses for {len(scans)} scans; write one line for each")
        pose: np.ndarray = poses[scans.index(scan_id)]
        return pose


class PlainSubmission(Submission):
    """SCAN_ID.label, a raw id (uint32) per point: predictions in classes of one's own, in any layout."""

    # No official evaluator: a class that is neither there nor predicted says nothing about a model.
    absent: AbsentClasses = "dropped"

    def file(self, split: str, scan_id: str) -> PurePosixPath:
        return PurePosixPath(f"{scan_id}.label")

    def encode(self, train_ids: np.ndarray) -> bytes:
        return self.label_space.raw_ids(train_ids).astype("<u4").tobytes()

    def decode(self, content: bytes, where: str) -> np.ndarray:
        if len(content) % 4:
            raise DataError(f"{where} is cut off: {len(content)} bytes are no multiple of 4; export it again")
        return self.label_space.train_ids(np.frombuffer(content, "<u4"), where)


DATASET, SUBMISSION = Plain, PlainSubmission
