"""nuScenes with the labels of nuScenes-lidarseg: a spinning LiDAR and six cameras around it.

`root/<version>/` holds the tables, `root/samples/LIDAR_TOP/` and `root/samples/CAM_*/` the key frames, and
`root/lidarseg/<version>/` the labels.
A scan id is "scene-0103/007-<token of the LiDAR's sample_data>"; 007 numbers the key frames of the scene.
An image id is "<scan id>/CAM_FRONT".
The official test scenes have separate tables: version v1.0-trainval reads them from v1.0-test beside it.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from lass3d_core.datasets import Dataset, ScanFiles, Submission, read_sweep, readable
from lass3d_core.datasets.nuscenes.classes import LABEL_SPACE, require_known_categories
from lass3d_core.datasets.nuscenes.index import key_frames
from lass3d_core.datasets.nuscenes.records import table_of
from lass3d_core.datasets.nuscenes.tables import TABLES, KeyFrames
from lass3d_core.errors import DataError, UnknownName, reading
from lass3d_core.labels import AbsentClasses, LabelSpace
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.records import Camera, FilePart, ImageFile, Scan, View

CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_FRONT_LEFT")
"""The six cameras, clockwise from the front."""

_COLUMNS = "write x, y, z, intensity and ring so"


class _Frame(NamedTuple):
    """A key frame: the folder of its tables, the key frames of that folder, and its row among them."""

    tables: Path
    frames: KeyFrames
    row: int


class NuScenes(Dataset):
    """nuScenes. The only feature is the intensity, in [0,1]. `scratch` holds the index of key frames."""

    official = LABEL_SPACE
    feature_names = ("intensity",)

    def __init__(self, spec: DatasetSpec, scratch: Path | None = None) -> None:
        super().__init__(spec, scratch)
        self._root = spec.root
        self._version = spec.version
        self._cameras = CAMERAS if spec.views is None else spec.views

    def read_scan(self, scan_id: str) -> Scan:
        """See Dataset."""
        points, labels = self._points_and_labels(scan_id)
        values = read_sweep(points, 5, _COLUMNS)
        return Scan(
            scan_id,
            points=np.ascontiguousarray(values[:, :3]),
            features=values[:, 3:4] / np.float32(255),
            labels=None if labels is None else _read_labels(labels, len(values), self.label_space),
            views=self.views(scan_id),
        )

    def images(self, scan_id: str) -> tuple[ImageFile, ...]:
        """See Dataset."""
        places = enumerate(self._cameras)
        return tuple(ImageFile(f"{scan_id}/{name}", FilePart(self._image(scan_id, i))) for i, name in places)

    def views(self, scan_id: str) -> tuple[View, ...]:
        """See Dataset. Each camera has its pose at the time of its image."""
        return tuple(self._view(scan_id, one, size_hw) for one, size_hw in readable(self.images(scan_id)))

    def input_files(self, scan_id: str) -> ScanFiles:
        """See Dataset. The whole tables stand for a scan's calibration and poses."""
        # These are a few hundred bytes in a gigabyte, and a table changes only if the data set is published
        # again. Digests of files are cached, so the tables are read once, in seconds, for all scans.
        points, labels = self._points_and_labels(scan_id)
        tables = (table_of(self._frame(scan_id).tables, name) for name in TABLES)
        return ScanFiles(
            points=(
                FilePart(points),
                *(() if labels is None else (FilePart(labels),)),
                *(FilePart(path) for path in tables if path.exists()),
            ),
            images=tuple(FilePart(self._image(scan_id, i)) for i in range(len(self._cameras))),
            labels=None if labels is None else FilePart(labels),
        )

    @cached_property
    def _frames(self) -> dict[str, dict[str, _Frame]]:
        """Scene -> scan id -> key frame, ascending, for every scene in the tables."""
        found: dict[str, dict[str, _Frame]] = {}
        for folder in self._table_folders():
            frames = key_frames(folder, self._cameras, self._scratch)
            for row, (scene, token) in enumerate(zip(frames.scenes, frames.tokens)):
                of_scene = found.setdefault(scene, {})
                of_scene[f"{scene}/{len(of_scene):03d}-{token}"] = _Frame(folder, frames, row)
        return found

    def _table_folders(self) -> list[Path]:
        """The folders of the tables: the version's, and the test scenes' if these are separate and needed."""
        folder = self._root / self._version
        apart = self._root / self._version.replace("trainval", "test")
        folders = [folder, apart] if self._splits["test"] and apart != folder and apart.is_dir() else [folder]
        for one in folders:
            if table_of(one, "lidarseg").exists():
                require_known_categories(table_of(one, "category"))
        return folders

    def _scans_in(self, scene: str, split: str) -> list[str]:
        """See Dataset. Outside the test split, every key frame must have labels."""
        if scene not in self._frames:
            path = table_of(self._root / self._version, "scene")
            raise DataError(f"split {split!r} names {scene}, but {path} lacks it; mend `splits` or `version`")
        for scan_id, (tables, frames, row) in self._frames[scene].items():
            if split != "test" and not frames.labels[row]:
                raise DataError(
                    f"{table_of(tables, 'lidarseg')} has no labels for {scan_id} of split {split!r}; "
                    "unpack nuScenes-lidarseg into the data set's root"
                )
        return list(self._frames[scene])

    def _frame(self, scan_id: str) -> _Frame:
        try:
            return self._frames[scan_id.split("/")[0]][scan_id]
        except KeyError:
            raise UnknownName(f"{self._root / self._version} holds no scan {scan_id!r}") from None

    def _points_and_labels(self, scan_id: str) -> tuple[Path, Path | None]:
        _, frames, row = self._frame(scan_id)
        labels = frames.labels[row]
        return self._root / frames.points[row], self._root / labels if labels else None

    def _image(self, scan_id: str, camera: int) -> Path:
        _, frames, row = self._frame(scan_id)
        return self._root / frames.images[row * len(self._cameras) + camera]

    def _view(self, scan_id: str, one: ImageFile, found_hw: tuple[int, int]) -> View:
        tables, frames, row = self._frame(scan_id)
        camera = self._cameras.index(one.image_id.rpartition("/")[2])
        size_hw = tuple(frames.size_hw[row, camera].tolist())
        if found_hw != size_hw:
            raise DataError(
                f"{one.image} is {found_hw} (height, width), {table_of(tables, 'sample_data')} says "
                f"{size_hw}: restore the images, or scale the tables as they were scaled"
            )
        K, cam_from_points = frames.K[row, camera], frames.cam_from_points[row, camera]
        return View(one.image_id, one.image, Camera(K, cam_from_points, found_hw))


class NuScenesSubmission(Submission):
    """lidarseg/<set>/<token>_lidarseg.bin, one uint8 from 1 to 16 per point.

    The official evaluation sets are train, val and test; of version v1.0-mini, mini_train and mini_val.
    """

    official = LABEL_SPACE
    absent: AbsentClasses = "dropped"

    def _folder(self, split: str) -> str:
        return f"mini_{split}" if self._version == "v1.0-mini" else split

    def file(self, split: str, scan_id: str) -> PurePosixPath:
        token = scan_id.split("/")[1].partition("-")[2]
        return PurePosixPath("lidarseg", self._folder(split), f"{token}_lidarseg.bin")

    def encode(self, train_ids: np.ndarray) -> bytes:
        """See Submission. Raises DataError for IGNORE: the official tool refuses 0, its ignore."""
        _require_classes(train_ids, 0, "the predictions")
        return (train_ids + 1).astype(np.uint8).tobytes()

    def decode(self, content: bytes, where: str) -> np.ndarray:
        """See Submission. Raises DataError for ids outside 1 to 16, as the official tool does."""
        ids = np.frombuffer(content, np.uint8)
        _require_classes(ids, 1, where)
        return ids - np.uint8(1)

    def further_files(self, split: str) -> dict[PurePosixPath, bytes]:
        """See Submission: submission.json, which says what data the method uses."""
        # The rules ask for the sensors at test time. Then the network sees only the LiDAR: no camera is used.
        # They allow pre-training on image labels, but language-vision models learnt from boxes and masks. So
        # these are external data, which means the open track. A method without text may say false there.
        uses = {"camera": False, "lidar": True, "radar": False, "map": False, "external": True}
        content = json.dumps({"meta": {f"use_{name}": used for name, used in uses.items()}}, indent=2)
        return {PurePosixPath(self._folder(split), "submission.json"): content.encode() + b"\n"}


def _require_classes(ids: np.ndarray, first: int, where: str) -> None:
    wrong = np.unique(ids[(ids < first) | (ids >= first + len(LABEL_SPACE.names))])
    if len(wrong):
        last = first + len(LABEL_SPACE.names) - 1
        raise DataError(f"{where}: class id {wrong[0]} is not in {first} to {last}; export them again")


def _read_labels(path: Path, count: int, space: LabelSpace) -> np.ndarray:
    """Read train ids (N,) uint8. Raises DataError."""
    with reading(path):
        content = path.read_bytes()
    if len(content) != count:
        raise DataError(f"{path} has {len(content)} labels, its scan has {count} points; copy both again")
    return space.train_ids(np.frombuffer(content, np.uint8), str(path))


DATASET, SUBMISSION = NuScenes, NuScenesSubmission
