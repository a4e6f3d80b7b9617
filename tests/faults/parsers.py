"""Every parser with a good file of its kind: mutants of it must be read, or refused by a Lass3dError.

`print_failures` is run in a child with little memory to spare; a reading that takes too long is a failure.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import tempfile
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import numpy as np

from benchmarks.fault_injection.mutants import mutant
from benchmarks.fault_injection.project import RUN_FOLDER
from lass3d_core.datasets import open_dataset
from lass3d_core.datasets.scannet.rgbd import view_of
from lass3d_core.datasets.scannet.sens import read_sens
from lass3d_core.errors import Lass3dError
from lass3d_core.files.fingerprint import InputDigests, canonical_json, reasons
from lass3d_core.files.images import read_depth, read_image
from lass3d_core.files.masks import area, decode, encode
from lass3d_core.files.pair_index import read_index
from lass3d_core.files.shards import ShardReader
from lass3d_core.files.splits import LabelledSplit, read_list
from lass3d_core.files.text_table import read_text_table, read_text_table_record
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from lass3d_core.records import FilePart, RunLengthMask
from preprocess.lvm import check_lvm
from preprocess.stages.entities import entities_in
from preprocess.stages.image_captions import captions_in
from preprocess.stages.jsonl_shards import read_ends
from tests.lass3d_core.datasets.nuscenes_files import write_nuscenes
from tests.lass3d_core.datasets.scannet_files import room_frames, sens_bytes
from train.config import SavedRun
from train.evaluate import Metrics
from train.runs.checkpoint import load
from train.runs.logs import read_log

SECONDS = 20
"""For one reading of a file of some kilobytes."""

Seal = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Parser:
    """file: below the folder. read: reads it, given the folder. text: mutate words too. seal: gives it a
    right checksum, as someone who means harm would."""

    file: str
    read: Callable[[Path], object]
    text: bool = False
    seal: Seal = bytes


def print_failures(project: str, name: str, count: int, seed: int) -> None:
    """In a child: read `count` mutants; print those that ended in anything but a value or a Lass3dError."""
    parser, rng, failures = PARSERS[name], random.Random(f"{seed} {name}"), []
    signal.signal(signal.SIGALRM, _too_slow)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "project"
        shutil.copytree(project, folder)
        _write_others(folder)
        path = folder / parser.file
        whole = path.read_bytes()
        parser.read(folder)
        for number in range(count):
            path.write_bytes(parser.seal(mutant(whole, rng, parser.text)))
            signal.alarm(SECONDS)
            try:
                parser.read(folder)
            except Lass3dError as error:
                if "\n" in str(error):
                    failures.append(f"mutant {number} of {name}: more than a line: {error}")
            except Exception:
                failures.append(f"mutant {number} of {name}: {''.join(traceback.format_exc()[-700:])}")
            finally:
                signal.alarm(0)
    print(json.dumps(failures))


def _too_slow(number: int, frame: FrameType | None) -> NoReturn:
    raise TimeoutError(f"more than {SECONDS} s")


def _write_others(folder: Path) -> None:
    """What the tiny project has not: a .sens file, nuScenes, lists, a run-length mask."""
    (folder / "scene.sens").write_bytes(sens_bytes(room_frames(2)))
    write_nuscenes(folder / "nuscenes", ("scene-0001", "scene-0002"))
    (folder / "list.txt").write_text("00/000000\n00/000001\n")
    (folder / "scenes.txt").write_text("00\n")
    (folder / "mask.txt").write_text(encode(np.eye(4, 6) > 0).counts)


def _street(folder: Path) -> object:
    spec = DatasetSpec("semantickitti", folder / "street", SplitSpec(("00",), ("01",)))
    return _all_of(spec, "00/000000")


def _room(folder: Path) -> object:
    spec = DatasetSpec("scannet", folder / "room", SplitSpec(("scene0000_00",), ("scene0001_00",)))
    return _all_of(spec, "scene0000_00")


def _all_of(spec: DatasetSpec, scan_id: str) -> object:
    dataset = open_dataset("fuzzed", spec)
    dataset.scan_ids("train")
    scan = dataset.read_scan(scan_id)
    for view in scan.views:
        read_image(view.image)
        if view.depth is not None:
            read_depth(view.depth)
    return scan


def _nuscenes(folder: Path) -> object:
    splits = SplitSpec(("scene-0001",), ("scene-0002",))
    spec = DatasetSpec("nuscenes", folder / "nuscenes", splits)
    dataset = open_dataset("fuzzed", spec)
    return [dataset.read_scan(scan_id) for scan_id in dataset.scan_ids("train")]


def _sens(folder: Path) -> object:
    sequence = read_sens(folder / "scene.sens")
    views = [view_of(sequence, frame, str(frame.number)) for frame in sequence.frames]
    return [(read_image(view.image), read_depth(view.depth) if view.depth else None) for view in views]


def _manifest(folder: Path) -> object:
    manifest, name = read_manifest(folder / "data_manifest.yaml", None, check_lvm)
    return open_dataset(name, manifest.datasets[name]).scan_ids("train")


def _captions(folder: Path) -> object:
    path = folder / PARSERS["captions"].file
    header, _ = read_ends(path)
    return captions_in(path), reasons(header.record, header.record)


def _entities(folder: Path) -> object:
    found = entities_in(folder / PARSERS["entities"].file)
    return [decode(entity.mask) for of_image in found.values() for entity in of_image]


def _shard(folder: Path) -> object:
    reader = ShardReader(folder / PARSERS["pair shard"].file)
    try:
        return reader.header, list(reader.scans())
    finally:
        reader.close()


def _table(folder: Path) -> object:
    path = folder / PARSERS["text table"].file
    return read_text_table_record(path), read_text_table(path)


def _checkpoint(folder: Path) -> object:
    saved = SavedRun.load(folder / RUN_FOLDER / "config.json")
    return load(folder / PARSERS["checkpoint"].file, saved.digest)


def _mask(folder: Path) -> object:
    counts = (folder / "mask.txt").read_bytes().decode("utf-8", "replace")
    mask = RunLengthMask((4, 6), counts)
    return decode(mask), area(mask)


def _listed(folder: Path) -> object:
    splits = SplitSpec((str(folder / "scenes.txt"),), ("01",))
    dataset = open_dataset("fuzzed", DatasetSpec("semantickitti", folder / "street", splits))
    return dataset.scan_ids("train")


def _memory(folder: Path) -> object:
    digests = InputDigests(folder / "artifacts/street/inputs.json")
    return digests.digest_of(FilePart(folder / "street/sequences/00/calib.txt"))


def sealed_jsonl(content: bytes) -> bytes:
    """The last line anew with the right count and checksum, where the lines are JSON at all."""
    *lines, last = content.splitlines(keepends=True) or [b""]
    try:
        footer = json.loads(last)
        values = [len(lines) - 1, footer["failures"], dict(footer["digests"])]
        crc32 = zlib.crc32(canonical_json(values).encode(), zlib.crc32(b"".join(lines)))
        footer |= {"count": len(lines) - 1, "crc32": crc32}
    except (ValueError, KeyError, TypeError, RecursionError):
        return content
    return b"".join(lines) + json.dumps(footer, separators=(",", ":")).encode() + b"\n"


def sealed_checkpoint(content: bytes) -> bytes:
    payload = content[65:]
    return hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def sealed_json(content: bytes) -> bytes:
    try:
        values = json.loads(content)
        values.pop("sha256", None)
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        values["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        return json.dumps(values).encode()
    except (ValueError, AttributeError, RecursionError):
        return content


_SCENE = "room/scans/scene0000_00"
_TABLES = (
    "sensor",
    "calibrated_sensor",
    "ego_pose",
    "scene",
    "sample",
    "sample_data",
    "lidarseg",
    "category",
)

PARSERS = {
    "manifest": Parser("data_manifest.yaml", _manifest, text=True),
    "calib.txt": Parser("street/sequences/00/calib.txt", _street, text=True),
    ".bin": Parser("street/sequences/00/velodyne/000000.bin", _street),
    ".label": Parser("street/sequences/00/labels/000000.label", _street),
    "PNG": Parser("street/sequences/00/image_2/000000.png", _street),
    "mesh": Parser(f"{_SCENE}/scene0000_00_vh_clean_2.ply", _room, text=True),
    "mesh labels": Parser(f"{_SCENE}/scene0000_00_vh_clean_2.labels.ply", _room, text=True),
    "pose": Parser(f"{_SCENE}/pose/0.txt", _room, text=True),
    "intrinsics": Parser(f"{_SCENE}/intrinsic/intrinsic_depth.txt", _room, text=True),
    "facts": Parser(f"{_SCENE}/scene0000_00.txt", _room, text=True),
    "JPEG": Parser(f"{_SCENE}/color/0.jpg", _room),
    "depth": Parser(f"{_SCENE}/depth/0.png", _room),
    ".sens": Parser("scene.sens", _sens),
    **{
        f"nuScenes {table}": Parser(f"nuscenes/v1.0-trainval/{table}.json", _nuscenes, text=True)
        for table in _TABLES
    },
    "list": Parser(
        "list.txt", lambda folder: read_list(folder / "list.txt", ["00/000000", "00/000001"]), text=True
    ),
    "list of scenes": Parser("scenes.txt", _listed, text=True),
    "mask": Parser("mask.txt", _mask, text=True),
    "captions": Parser("artifacts/street/image_captions/00-000.jsonl", _captions, True, sealed_jsonl),
    "entities": Parser("artifacts/street/entities/00-000.jsonl", _entities, True, sealed_jsonl),
    "pair shard": Parser("artifacts/street/pairs/00-000.h5", _shard),
    "text table": Parser("artifacts/street/text_embeddings.h5", _table),
    "index": Parser(
        "artifacts/street/pairs/index.json",
        lambda folder: read_index(folder / "artifacts/street/pairs"),
        True,
        sealed_json,
    ),
    "inputs": Parser("artifacts/street/inputs.json", _memory, True, sealed_json),
    "configuration": Parser(
        f"{RUN_FOLDER}/config.json",
        lambda folder: SavedRun.load(folder / RUN_FOLDER / "config.json"),
        True,
        sealed_json,
    ),
    "split": Parser(
        f"{RUN_FOLDER}/split.json",
        lambda folder: LabelledSplit.load(folder / RUN_FOLDER / "split.json"),
        True,
        sealed_json,
    ),
    "metrics": Parser(
        f"{RUN_FOLDER}/metrics-val.json",
        lambda folder: Metrics.load(folder / RUN_FOLDER / "metrics-val.json"),
        True,
        sealed_json,
    ),
    "log": Parser(f"{RUN_FOLDER}/log.csv", lambda folder: read_log(folder / RUN_FOLDER / "log.csv"), True),
    "checkpoint": Parser(
        f"{RUN_FOLDER}/checkpoints/step-000006.checkpoint", _checkpoint, seal=sealed_checkpoint
    ),
}
