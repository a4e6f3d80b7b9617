"""ScanNet V2 and every data set in its layout.

`root/scans/SCENE/`, for the test split also `root/scans_test/SCENE/`, holds
- SCENE_vh_clean_2.ply, the mesh,
- SCENE_vh_clean_2.labels.ply, if the scene is annotated,
- RGB-D frames: exported files (see frames.py) or SCENE.sens.
The frames may also lie in `root/scannet_frames_25k/SCENE/`.
A scan id is the scene's name. An image id is the scene and the frame's number, "SCENE/000120".
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np

from lass3d_core.clouds.names import COLOURS, colour_scale
from lass3d_core.clouds.ply import read_ply
from lass3d_core.datasets import Block, Dataset, ScanFiles, Submission, cut_blocks, readable
from lass3d_core.datasets.points import whole_numbers
from lass3d_core.datasets.scannet.frames import is_exported, read_exported
from lass3d_core.datasets.scannet.rgbd import RgbdSequence, view_of
from lass3d_core.datasets.scannet.sens import read_sens
from lass3d_core.errors import DataError
from lass3d_core.labels import IGNORE, AbsentClasses, LabelSpace
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.records import FilePart, ImageFile, Scan, View

_CLASSES: tuple[tuple[str, int, tuple[int, int, int]], ...] = (
    ("wall", 1, (174, 199, 232)),
    ("floor", 2, (152, 223, 138)),
    ("cabinet", 3, (31, 119, 180)),
    ("bed", 4, (255, 187, 120)),
    ("chair", 5, (188, 189, 34)),
    ("sofa", 6, (140, 86, 75)),
    ("table", 7, (255, 152, 150)),
    ("door", 8, (214, 39, 40)),
    ("window", 9, (197, 176, 213)),
    ("bookshelf", 10, (148, 103, 189)),
    ("picture", 11, (196, 156, 148)),
    ("counter", 12, (23, 190, 207)),
    ("desk", 14, (247, 182, 210)),
    ("curtain", 16, (219, 219, 141)),
    ("refrigerator", 24, (255, 127, 14)),
    ("shower curtain", 28, (158, 218, 229)),
    ("toilet", 33, (44, 160, 44)),
    ("sink", 34, (112, 128, 144)),
    ("bathtub", 36, (227, 119, 194)),
    ("otherfurniture", 39, (82, 84, 163)),
)
"""Name, nyu40 id, colour (r, g, b), in the order of the benchmark."""

# Not nyu40 ids, but the official labels of scene0270_00, scene0270_02 and scene0384_00 hold them (issues 20
# and 86 of ScanNet on GitHub). They are ignored, as in the official evaluator.
_STRAY_IDS = (50, 149)

LABEL_SPACE = LabelSpace(
    names=tuple(name for name, _, _ in _CLASSES),
    train_id_of_raw=dict.fromkeys((*range(41), *_STRAY_IDS), IGNORE)
    | {raw: train_id for train_id, (_, raw, _) in enumerate(_CLASSES)},
    raw_of_train_id=tuple(raw for _, raw, _ in _CLASSES),
    colours=tuple(colour for _, _, colour in _CLASSES),
)

SCANS_PER_SCENE = 16
"""A scene counts as this many street scans: it has about 100 images, a street scan one to six."""

_SEQUENCES_CACHED = 8
"""Number of scenes whose frames are cached: a stage asks several times for the scene that it works on."""

_FRAME_FOLDERS = ("scannet_frames_25k", "tasks/scannet_frames_25k", "scannet_frames_test")


class ScanNet(Dataset):
    """The ScanNet layout. Points are the vertices in the frame of the poses."""

    official = LABEL_SPACE
    feature_names = COLOURS

    def __init__(self, spec: DatasetSpec, scratch: Path | None = None) -> None:
        super().__init__(spec, scratch)
        self._root = spec.root
        self._frames = spec.frames
        self._has_views = spec.views != ()
        self._sequence = lru_cache(_SEQUENCES_CACHED)(self._read_sequence)

    def blocks(self, split: str, size: int) -> list[Block]:
        """See Dataset. `size` counts street scans; see SCANS_PER_SCENE."""
        return cut_blocks(split, {split: self.scan_ids(split)}, max(1, size // SCANS_PER_SCENE))

    def read_scan(self, scan_id: str) -> Scan:
        """See Dataset. points: vertices of the mesh. features (N,3): r, g, b in [0,1]. Raises DataError."""
        points, features = _read_mesh(self._mesh(scan_id))
        label_path = self._labels(scan_id)
        labels = _read_labels(label_path, len(points), self.label_space) if label_path.exists() else None
        return Scan(scan_id, points, features, labels, self.views(scan_id))

    def images(self, scan_id: str) -> tuple[ImageFile, ...]:
        """See Dataset: the RGB-D frames with a finite pose; none if the scene has no frames."""
        sequence = self._sequence(scan_id)
        frames = () if sequence is None else sequence.frames
        return tuple(ImageFile(f"{scan_id}/{frame.number:06d}", frame.colour) for frame in frames)

    def views(self, scan_id: str) -> tuple[View, ...]:
        """See Dataset."""
        sequence = self._sequence(scan_id)
        if sequence is None:
            return ()
        here = {one.image_id for one, _ in readable(self.images(scan_id))}
        named = ((f"{scan_id}/{frame.number:06d}", frame) for frame in sequence.frames)
        return tuple(view_of(sequence, frame, image_id) for image_id, frame in named if image_id in here)

    def skipped_frames(self, scan_id: str) -> int:
        """Number of the scene's frames, after the stride, that are not views: their pose is not finite."""
        sequence = self._sequence(scan_id)
        return 0 if sequence is None else sequence.skipped

    def input_files(self, scan_id: str) -> ScanFiles:
        """See Dataset. Calibration, poses and depth are among `points`, because pairing reads them."""
        sequence = self._sequence(scan_id)
        path = self._labels(scan_id)
        labels = FilePart(path) if path.exists() else None
        points = [FilePart(self._mesh(scan_id)), *([labels] if labels else [])]
        if sequence is None:
            return ScanFiles(tuple(points), (), labels)
        points += sequence.calibration
        points += [part for frame in sequence.frames for part in (frame.pose_part, frame.depth) if part]
        return ScanFiles(tuple(points), tuple(frame.colour for frame in sequence.frames), labels)

    def _scans_in(self, sequence: str, split: str) -> list[str]:
        folder = self._folder(sequence)
        if not folder.is_dir():
            raise DataError(f"split {split!r} names {sequence}, but there is no {folder}; mend `splits`")
        return [sequence]

    def _read_sequence(self, scene: str) -> RgbdSequence | None:
        """The scene's frames; None if it has none.

        Decision: a scene may have no images, and then has no text. Scenes are predicted from points alone, so
        the images of val and test, hundreds of gigabytes, need not be downloaded.
        """
        folder, source, stride = self._folder(scene), self._frames.source, self._frames.stride
        if not self._has_views:
            return None
        sens = folder / f"{scene}.sens"
        places = [folder, *(self._root / name / scene for name in _FRAME_FOLDERS)]
        exported = [place for place in places if is_exported(place)]
        if source != "sens" and exported:
            return read_exported(exported[0], folder / f"{scene}.txt", stride)
        if source != "exported" and sens.exists():
            return read_sens(sens, stride)
        return None

    def _folder(self, scene: str) -> Path:
        test = self._root / "scans_test" / scene
        return test if test.is_dir() else self._root / "scans" / scene

    def _mesh(self, scene: str) -> Path:
        return self._folder(scene) / f"{scene}_vh_clean_2.ply"

    def _labels(self, scene: str) -> Path:
        return self._folder(scene) / f"{scene}_vh_clean_2.labels.ply"


class ScanNetSubmission(Submission):
    """SCENE.txt, a nyu40 id a line for each vertex, at the top of the archive."""

    official = LABEL_SPACE
    absent: AbsentClasses = "dropped"

    def file(self, split: str, scan_id: str) -> PurePosixPath:
        return PurePosixPath(f"{scan_id}.txt")

    def encode(self, train_ids: np.ndarray) -> bytes:
        return "".join(f"{raw}\n" for raw in LABEL_SPACE.raw_ids(train_ids)).encode("ascii")

    def decode(self, content: bytes, where: str) -> np.ndarray:
        """See Submission. Ids that are not a class become IGNORE, which is wrong at every labelled point."""
        try:
            raw = np.array(content.decode("ascii").splitlines(), np.int64).reshape(-1)
        except ValueError:
            raise DataError(f"{where} must hold one nyu40 id a line; write it again") from None
        known = np.where(np.isin(raw, list(LABEL_SPACE.train_id_of_raw)), raw, 0)
        return LABEL_SPACE.train_ids(known, where)


def _read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the vertices (N,3) float32, metres, z up; and their r, g, b (N,3) float32 in [0,1]."""
    vertices = _vertices(path, (*"xyz", *COLOURS))
    points = np.stack([vertices[name] for name in "xyz"], axis=1).astype(np.float32)
    colours = {name: vertices[name] for name in COLOURS}
    scaled = np.stack(list(colours.values()), axis=1).astype(np.float32) / np.float32(colour_scale(colours))
    return points, scaled


def _read_labels(path: Path, count: int, space: LabelSpace) -> np.ndarray:
    """Train ids (N,) uint8 from the property `label`, a nyu40 id, which CloudCompare saves as a float."""
    raw = whole_numbers(_vertices(path, ("label",))["label"], path)
    if len(raw) != count:
        raise DataError(f"{path} has {len(raw)} labels, its mesh {count} vertices; copy both again")
    return space.train_ids(raw, str(path))


def _vertices(path: Path, properties: tuple[str, ...]) -> np.ndarray:
    vertices = read_ply(path).get("vertex")
    if vertices is None or not len(vertices):
        raise DataError(f"{path} has no vertices; copy it again")
    missing = [name for name in properties if name not in (vertices.dtype.names or ())]
    if missing:
        raise DataError(f"{path}: its vertices have no {', '.join(missing)}; copy the official file again")
    return vertices


DATASET, SUBMISSION = ScanNet, ScanNetSubmission
