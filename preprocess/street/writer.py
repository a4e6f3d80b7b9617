"""Writes simulated scans as a SemanticKITTI tree, in parallel, so that the real reader reads them.

Every scan follows from (seed, split, drive, frame) alone: neither the number of workers nor the order
matters, and a killed run, run again, ends with the same bytes. `street.json` beside `sequences/` says what
the tree was made from; it is written before the first scan and makes the tree ours to replace.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from lass3d_core.atomic import remove_parts, storage_errors, whole_file, write_text
from lass3d_core.errors import DataError, ManifestError
from lass3d_core.manifest import SimulateSpec, SplitSpec
from lass3d_core.typed import plain
from preprocess.ctrl_c import ctrl_c_held_back
from preprocess.street import rig
from preprocess.street.sensors import LidarModel, picture, sweep
from preprocess.street.shapes import Scene
from preprocess.street.world import Layout, build_scene, drive, lay_out

GENERATOR = 1
"""Raise it with every change that alters the files."""

_SECONDS_PER_SCAN = 0.1


@dataclass(frozen=True)
class StreetReport:
    """What `write_street` did. renewed: in words, why scans of an earlier run were thrown away, or None."""

    root: Path
    written: int
    kept: int
    renewed: str | None

    def __str__(self) -> str:
        why = f" (all anew: {self.renewed})" if self.renewed else ""
        return f"{self.written} scans written, {self.kept} were there, in {self.root}{why}"


@dataclass(frozen=True)
class StreetSequence:
    """One sequence to be simulated. entropy: seeds its scenes, together with the number of the drive."""

    folder: Path
    scans: int
    entropy: tuple[int, int]
    cameras: int
    frames_per_drive: int

    def files(self, scan: int) -> dict[str, Path]:
        """The files of a scan by the name of their folder."""
        suffixes = {"velodyne": ".bin", "labels": ".label"} | dict.fromkeys(rig.cameras(self.cameras), ".png")
        return {name: self.folder / name / f"{scan:06d}{suffix}" for name, suffix in suffixes.items()}

    def poses(self, drive_number: int) -> list[np.ndarray]:
        """The poses world_from_velodyne (4,4) of the scans of a drive."""
        return drive(np.random.default_rng((*self.entropy, drive_number, 1)), self._layout(drive_number))

    def scene(self, drive_number: int) -> Scene:
        """The street of a drive."""
        return build_scene(
            np.random.default_rng((*self.entropy, drive_number, 2)), self._layout(drive_number)
        )

    def _layout(self, drive_number: int) -> Layout:
        return lay_out(np.random.default_rng((*self.entropy, drive_number, 0)), self.frames_per_drive)


def write_street(root: Path, spec: SimulateSpec, splits: SplitSpec, workers: int = 0) -> StreetReport:
    """Simulate what is missing below `root`/sequences: for each split, its first sequence.

    workers: processes of one thread each, 0 = one per core. A tree made from another `spec` is replaced as a
    whole. Raises DataError where a sequence is there that the simulator did not write, ManifestError where a
    split names none, StorageError.
    """
    sequences = _sequences(root, spec, splits)
    renewed = _settle(root, spec, [sequence.folder.name for sequence in sequences])
    for sequence in sequences:
        _write_sequence_files(sequence)
    everything = [(sequence, scan) for sequence in sequences for scan in range(sequence.scans)]
    missing = [(sequence, scan) for sequence, scan in everything if not _is_whole(sequence, scan)]
    _write_scans(missing, workers)
    return StreetReport(root, len(missing), len(everything) - len(missing), renewed)


def _sequences(root: Path, spec: SimulateSpec, splits: SplitSpec) -> list[StreetSequence]:
    named = (
        ("train", splits.train, spec.train),
        ("val", splits.val, spec.val),
        ("test", splits.test, spec.test),
    )
    for split, names, _ in named:
        if not names:
            raise ManifestError(
                f"splits.{split} is empty: the simulated street needs a sequence for each split; name one"
            )
    return [
        StreetSequence(
            root / "sequences" / names[0], scans, (spec.seed, number), spec.cameras, spec.frames_per_drive
        )
        for number, (_, names, scans) in enumerate(named)
    ]


def _settle(root: Path, spec: SimulateSpec, names: list[str]) -> str | None:
    """Make the tree belong to `spec`; in words, why an earlier tree had to go, or None."""
    wanted = {"generator": GENERATOR, "sequences": names, **plain(spec)}
    record = root / "street.json"
    found = _read_record(record)
    if found == wanted:
        return None
    ours = found["sequences"] if found else []
    for folder in (root / "sequences" / name for name in names):
        if folder.name not in ours and folder.exists():
            raise DataError(f"{folder} was not written by the simulator; choose another root or sequence")
    with storage_errors(root):
        for folder in (root / "sequences" / name for name in ours):
            if folder.exists():
                shutil.rmtree(folder)
    write_text(record, json.dumps(wanted, indent=1, sort_keys=True) + "\n")
    return _differences(found, wanted) if found else None


def _read_record(path: Path) -> dict | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"sequences": [], **found}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise DataError(
            f"{path} is damaged; delete it together with the folder `sequences` beside it"
        ) from None


def _differences(found: dict, wanted: dict) -> str:
    changed = [key for key in wanted if found.get(key) != wanted[key]]
    return ", ".join(f"{key} is {wanted[key]}, was {found.get(key)}" for key in changed)


def _write_sequence_files(sequence: StreetSequence) -> None:
    """calib.txt, poses.txt, times.txt. A drive begins with the identity pose, in a street of its own."""
    for name in sequence.files(0):
        remove_parts(sequence.folder / name)
    remove_parts(sequence.folder)
    drives = range(-(-sequence.scans // sequence.frames_per_drive))
    poses = [rig.pose_line(poses[0], pose) for poses in map(sequence.poses, drives) for pose in poses]
    texts = {
        "calib.txt": rig.calibration_text(sequence.cameras),
        "poses.txt": "".join(poses[: sequence.scans]),
        "times.txt": "".join(f"{scan * _SECONDS_PER_SCAN:.6e}\n" for scan in range(sequence.scans)),
    }
    for name, text in texts.items():
        if not (sequence.folder / name).is_file():
            write_text(sequence.folder / name, text)


def _is_whole(sequence: StreetSequence, scan: int) -> bool:
    return all(path.is_file() for path in sequence.files(scan).values())


def _write_scans(missing: list[tuple[StreetSequence, int]], workers: int) -> None:
    processes = min(workers or os.cpu_count() or 1, len(missing))
    progress = tqdm(total=len(missing), desc="street", unit="scan", disable=not missing)
    with progress, _mapped(missing, processes) as done:
        for _ in done:
            progress.update()


@contextmanager
def _mapped(missing: list[tuple[StreetSequence, int]], processes: int) -> Iterator[Iterable[None]]:
    if processes <= 1:
        yield map(_write_scan, missing)
        return
    with _one_thread_each(), ExitStack() as stack:
        with ctrl_c_held_back():
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(processes))
        yield pool.imap_unordered(_write_scan, missing)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside compute with one thread: their number is the parallelism."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _write_scan(job: tuple[StreetSequence, int]) -> None:
    sequence, scan = job
    drive_number, frame = divmod(scan, sequence.frames_per_drive)
    scene, pose = sequence.scene(drive_number), sequence.poses(drive_number)[frame]
    rng = np.random.default_rng((*sequence.entropy, drive_number, 3, frame))
    files = sequence.files(scan)
    turn = sweep(scene, pose, rng, LidarModel())
    _write_array(files["velodyne"], np.column_stack([turn.points, turn.remission]).astype("<f4"))
    _write_array(files["labels"], turn.raw_labels.astype("<u4"))
    for name, camera in rig.cameras(sequence.cameras).items():
        image = Image.fromarray(picture(scene, pose, camera, rng))
        with whole_file(files[name]) as part:
            image.save(part, format="PNG")


def _write_array(path: Path, array: np.ndarray) -> None:
    with whole_file(path) as part:
        array.tofile(part)
