"""Does the calibration check find a calibration that is turned by 1 degree or shifted by 10 cm?

    python benchmarks/calibration.py [--scans 16] [--warnings] [--pictures FOLDER]

Simulated streets and rooms need no files. Real frames (drives of SemanticKITTI, PandaSet, KITTI, nuScenes)
are added if they are in the folder LASS3D_SAMPLES, by default shared/samples beside the checkout.
A row has the score of the true calibration (1 is chance) and the scores of the nudged ones as shares of it. A
nudge with a share below 1 is found. The second table does the same for labels: the edges where the points of
a class end.
--warnings (minutes): what the audit says of right calibrations, and of how many wrong ones it warns: turned
(degrees), shifted (metres; 0.54 is the other camera of a stereo pair), with the transform the wrong way
round, with the image of two scans later.
--pictures: write the outlines on the edges of every image.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image
from tqdm import tqdm

from lass3d_core.datasets import Dataset, open_dataset
from lass3d_core.datasets.semantickitti.reader import LABEL_SPACE
from lass3d_core.files.images import read_image
from lass3d_core.files.splits import spread
from lass3d_core.geometry.projection import invert_rigid
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import DatasetSpec, FramesSpec, PairsSpec, SimulateSpec, SplitSpec
from lass3d_core.records import Camera, FilePart, View
from preprocess.audit.calibration import NUDGES as NUDGES_OF_THE_AUDIT
from preprocess.audit.calibration import Alignment, Axis, Kind, Nudge, compare, observe
from preprocess.audit.calibration_check import VIEWS, observed_in, seen_points
from preprocess.audit.outlines import Neighbours, Outline, depth_outline
from preprocess.audit.overlays import outline_panel
from preprocess.audit.verdict import verdict_of
from preprocess.simulation import simulate

SAMPLES = Path(os.environ.get("LASS3D_SAMPLES", Path(__file__).parents[2] / "shared" / "samples"))
_STEPS: tuple[tuple[Kind, float], ...] = (("turn", 1.0), ("shift", 0.1))
NUDGES = tuple(
    Nudge(kind, axis, sign * amount) for kind, amount in _STEPS for axis in get_args(Axis) for sign in (1, -1)
)
WRONG: tuple[tuple[Kind, tuple[Axis, ...], float], ...] = (
    ("turn", ("x", "y", "z"), 1.0),
    ("turn", ("x", "y", "z"), 3.0),
    ("shift", ("x", "y"), 0.1),
    ("shift", ("x", "y"), 0.3),
    ("shift", ("x",), 0.54),
)
INVERTED, LATE = "inverted", "late"
CLASSES = ("car", "building", "vegetation")
OUTDOORS = PairsSpec()
INDOORS = PairsSpec(visibility="depth_map", depth_tolerance=0.1)


@dataclass(frozen=True)
class Pose:
    """An image and its scan. points (N,3) float32. labels (N,) uint8, or None."""

    view: View
    points: np.ndarray
    labels: np.ndarray | None
    spec: PairsSpec = OUTDOORS


def main() -> None:
    """Measure every group of frames and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=16, help="simulated streets (default: 16)")
    parser.add_argument(
        "--warnings", action="store_true", help="also check wrong calibrations as the audit does"
    )
    parser.add_argument("--pictures", type=Path, help="folder for the outlines on the edges of the images")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        groups = dict(simulated(Path(scratch), arguments.scans)) | dict(real_frames())
        print_head("frames")
        for name, poses in groups.items():
            print_row(name, scored(poses))
        print_head("labels end")
        for name, poses in labelled(groups):
            for train_id in map(LABEL_SPACE.names.index, CLASSES):
                print_row(f"{name}: {LABEL_SPACE.names[train_id]}", witness(poses, train_id))
        if arguments.warnings:
            print_warnings(groups)
        if arguments.pictures:
            draw(groups, arguments.pictures)


def simulated(scratch: Path, scans: int) -> Iterator[tuple[str, list[Pose]]]:
    """Streets with four cameras, and four rooms with RGB-D frames."""
    street = DatasetSpec(
        reader="semantickitti",
        root=scratch / "street",
        splits=SplitSpec(("00",), ("01",), ("02",)),
        views=("image_2", "image_3", "image_4", "image_5"),
        simulate=SimulateSpec(train=scans, val=1, test=1, seed=7, cameras=4),
    )
    simulate(street, workers=1)
    yield "street", poses_of(open_dataset(street), OUTDOORS)
    lists = [scratch / "room" / f"scannetv2_{split}.txt" for split in ("train", "val", "test")]
    room = DatasetSpec(
        reader="scannet",
        root=scratch / "room",
        splits=SplitSpec(*((str(path),) for path in lists)),
        frames=FramesSpec(stride=1),
        simulate=SimulateSpec(world="room", train=4, val=1, test=1, seed=7),
    )
    simulate(room, workers=1)
    yield "room", poses_of(open_dataset(room), INDOORS)


def real_frames() -> Iterator[tuple[str, list[Pose]]]:
    """The frames in the folder of samples."""
    root = SAMPLES / "semantickitti"
    for path in sorted(root.glob("sequences/*")):
        spec = DatasetSpec("semantickitti", root, SplitSpec((path.name,), ("none",)))
        yield f"drive {path.name}", poses_of(open_dataset(spec), OUTDOORS)
    root = SAMPLES / "pandaset_as_semantickitti"
    if root.is_dir():
        for sequence, other in (("00", "01"), ("01", "00")):
            spec = DatasetSpec("semantickitti", root, SplitSpec((sequence,), (other,)))
            yield f"PandaSet {sequence}", poses_of(open_dataset(spec), OUTDOORS)
    if (SAMPLES / "kitti").is_dir():
        yield "KITTI", [kitti(SAMPLES / "kitti")]
    if (SAMPLES / "nuscenes").is_dir():
        yield "nuScenes", nuscenes(SAMPLES / "nuscenes")


def poses_of(dataset: Dataset, spec: PairsSpec) -> list[Pose]:
    """The training scans, in at most six views each."""
    scans = [dataset.read_scan(scan_id) for scan_id in dataset.scan_ids("train")]
    return [
        Pose(view, scan.points, scan.labels, spec) for scan in scans for view in spread(scan.views, VIEWS)
    ]


def kitti(folder: Path) -> Pose:
    """The frame of the object benchmark. P2 projects from the rectified camera 0, Tr transforms into it."""
    lines = dict(line.split(":", 1) for line in (folder / "calib.txt").read_text().splitlines() if line)
    projection, cam0 = (np.array(lines[key].split(), float).reshape(3, 4) for key in ("P2", "Tr"))
    K = projection[:, :3].copy()
    cam_from_points = np.vstack([cam0, (0, 0, 0, 1)])
    cam_from_points[:3, 3] += np.linalg.solve(K, projection[:, 3])
    points = np.fromfile(folder / "velodyne_000008.bin", np.float32).reshape(-1, 4)[:, :3]
    return Pose(view_of(folder / "image_2_000008.png", K, cam_from_points), points, None)


def nuscenes(folder: Path) -> list[Pose]:
    """The six cameras of the key frame."""
    points = np.fromfile(folder / "LIDAR_TOP.bin", np.float32).reshape(-1, 5)[:, :3]
    cameras = json.loads((folder / "calibration.json").read_text())["cameras"].values()
    return [
        Pose(
            view_of(folder / one["image"], np.array(one["K"]), np.array(one["cam_from_lidar"])), points, None
        )
        for one in cameras
    ]


def view_of(path: Path, K: np.ndarray, cam_from_points: np.ndarray) -> View:
    """The image at `path` as a view."""
    with Image.open(path) as image:
        size_hw = image.height, image.width
    return View(path.stem, FilePart(path), Camera(K, cam_from_points, size_hw))


def labelled(groups: dict[str, list[Pose]]) -> Iterator[tuple[str, list[Pose]]]:
    """The groups with SemanticKITTI's classes: the streets, and both sequences of PandaSet together."""
    yield "street", groups["street"]
    panda = [one for name, poses in groups.items() if name.startswith("PandaSet") for one in poses]
    if panda:
        yield "PandaSet", panda


def scored(poses: Sequence[Pose]) -> Alignment:
    """Compare the calibrations by the edges on the outlines of the scans."""
    return compare([observed_in(one.view, one.points, one.spec, NUDGES) for one in poses], NUDGES)


def witness(poses: Sequence[Pose], train_id: int) -> Alignment:
    """Compare the calibrations by the edges where the points of a class end in the image."""
    observations = []
    for one in poses:
        assert one.labels is not None
        outline = label_outline(one.view.camera, one.points, one.labels, train_id)
        observations.append(observe(one.view.camera, read_image(one.view.image), one.points, outline, NUDGES))
    return compare(observations, NUDGES)


def label_outline(camera: Camera, points: np.ndarray, labels: np.ndarray, train_id: int) -> Outline:
    """Find where the points of a class end in the image. labels (N,) uint8; ignored points end nothing."""
    seen = Neighbours(camera, points)
    labels = labels[seen.point]
    inside, outside = seen.first, seen.second
    ends = (labels[inside] == train_id) & (labels[outside] != train_id) & (labels[outside] != IGNORE)
    inside, outside = inside[ends], outside[ends]
    nearer = seen.depth[inside] <= seen.depth[outside]
    return seen.outline(np.where(nearer, inside, outside), np.where(nearer, outside, inside))


def print_warnings(groups: dict[str, list[Pose]]) -> None:
    """Print the reading of each group as it is, and of how many wrong calibrations of each kind it warns."""
    kinds = (*(f"{kind} {amount:g}" for kind, _, amount in WRONG), INVERTED, LATE)
    print(f"\n{'frames':20} {'right':>11} " + " ".join(f"{kind:>10}" for kind in kinds))
    warned, named = 0, 0
    for name, poses in groups.items():
        cells = []
        for kind in kinds:
            wrong = wrong_poses(poses, kind)
            found = [(way_back, audited(some)) for way_back, some in wrong]
            warnings = [(way_back, one) for way_back, one in found if verdict_of(one).warns]
            cells.append(f"{len(warnings)} of {len(found)}" if found else "-")
            if any(way_back in NUDGES_OF_THE_AUDIT for way_back, _ in wrong):
                warned += len(warnings)
                named += sum(one.best == way_back for way_back, one in warnings)
        right = verdict_of(audited(poses)).reading
        print(f"{name:20} {right:>11} " + " ".join(f"{cell:>10}" for cell in cells), flush=True)
    print(f"{named} of {warned} warnings whose way back is tried name it first")


def wrong_poses(poses: Sequence[Pose], kind: str) -> list[tuple[Nudge | None, list[Pose]]]:
    """The group under each wrong calibration of a kind, with the nudge that mends it; None if none does."""
    if kind == INVERTED:
        return [(None, [moved(pose, inverted(pose.view.camera)) for pose in poses])]
    if kind == LATE:
        one_camera = len({pose.view.image_id.split("/")[-1] for pose in poses}) == 1
        late = zip(poses, poses[2:] if one_camera else [])
        found = [replace(pose, view=replace(pose.view, image=other.view.image)) for pose, other in late]
        return [(None, found)] if found else []
    nudges = [
        (Nudge(what, axis, sign * amount), Nudge(what, axis, -sign * amount))
        for what, axes, amount in WRONG
        if kind == f"{what} {amount:g}"
        for axis in axes
        for sign in (1, -1)
    ]
    return [(back, [moved(pose, wrong.of(pose.view.camera)) for pose in poses]) for wrong, back in nudges]


def moved(pose: Pose, camera: Camera) -> Pose:
    """The pose with another camera."""
    return replace(pose, view=replace(pose.view, camera=camera))


def inverted(camera: Camera) -> Camera:
    """The camera whose transform was taken the wrong way round."""
    return replace(camera, cam_from_points=invert_rigid(camera.cam_from_points))


def audited(poses: Sequence[Pose]) -> Alignment:
    """The fit that the audit measures."""
    return compare([observed_in(one.view, one.points, one.spec) for one in poses])


def draw(groups: dict[str, list[Pose]], folder: Path) -> None:
    """Write the edges of every image under the outlines of its scan."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, poses in groups.items():
        for number, one in enumerate(tqdm(poses, name, unit="image", disable=None)):
            outline = depth_outline(one.view.camera, seen_points(one.view, one.points, one.spec))
            panel = outline_panel(read_image(one.view.image), one.view.camera, outline)
            panel.save(folder / f"{name.replace(' ', '-')}-{number:02d}.png")


def print_head(what: str) -> None:
    """Print the names of the columns: turns and shifts by axis and sign."""
    columns = " ".join(f"{one.kind[0]}{one.axis}{'+' if one.amount > 0 else '-'}".rjust(5) for one in NUDGES)
    print(f"\n{what:20} {'images':>6} {'points':>6} {'true':>5} {columns}")


def print_row(name: str, found: Alignment) -> None:
    """Print a row of a table."""
    shares = " ".join(f"{fit.score / found.given.score:5.3f}" for fit in found.nudged.values())
    print(f"{name:20} {found.images:6} {found.points:6} {found.given.score:5.2f} {shares}", flush=True)


if __name__ == "__main__":
    main()
