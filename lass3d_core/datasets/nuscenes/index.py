"""A cache of nuScenes' key frames on disk, so that its large tables are read once.

If the index is missing, damaged or made from other tables or cameras, it is written again in about a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lass3d_core.datasets.nuscenes.records import table_of
from lass3d_core.datasets.nuscenes.tables import TABLES, KeyFrames, read_key_frames
from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.atomic import atomic_write
from lass3d_core.files.fingerprint import canonical_json
from lass3d_core.files.hdf5_reader import Hdf5Reader
from lass3d_core.files.hdf5_writer import create, text_array, write_array, write_attributes

KIND = "lass3d nuscenes index"
SCHEMA = 1

_TEXTS = ("scenes", "tokens", "points", "labels", "images")
_ARRAYS = ("size_hw", "K", "cam_from_points")


def key_frames(folder: Path, cameras: Sequence[str], scratch: Path | None) -> KeyFrames:
    """The key frames in the tables of `folder`. Raises DataError (see read_key_frames), StorageError."""
    if scratch is None:
        return read_key_frames(folder, cameras)
    path, key = scratch / f"nuscenes_index_{folder.name}.h5", _key(folder, cameras)
    known = _read(path, key)
    if known is not None:
        return known
    frames = read_key_frames(folder, cameras)
    _write(path, key, frames)
    return frames


def _key(folder: Path, cameras: Sequence[str]) -> str:
    """What the index is made from: the cameras, and the tables' names, sizes and modification times (ns)."""
    paths = [path for name in TABLES if (path := table_of(folder, name)).exists()]
    status = {path.name: path.stat() for path in paths}
    tables = {name: [one.st_size, one.st_mtime_ns] for name, one in status.items()}
    return canonical_json({"cameras": list(cameras), "tables": tables})


def _read(path: Path, key: str) -> KeyFrames | None:
    file = Hdf5Reader(path, KIND, SCHEMA, "run again")
    try:
        if file.attribute("key") != key:
            return None
        values: dict[str, Any] = {name: file.texts(name) for name in _TEXTS}
        return KeyFrames(**values | {name: file.array(name) for name in _ARRAYS})
    except (MissingArtifact, StaleArtifact, CorruptArtifact):
        return None
    finally:
        file.close()


def _write(path: Path, key: str, frames: KeyFrames) -> None:
    with atomic_write(path) as part, create(part) as file:
        write_attributes(file, {"kind": KIND, "schema": SCHEMA, "key": key})
        for name in _TEXTS:
            write_array(file, name, text_array(getattr(frames, name)))
        for name in _ARRAYS:
            write_array(file, name, getattr(frames, name), compact=True)
