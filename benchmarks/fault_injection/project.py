"""The project that is damaged: a simulated street of five scans, three rooms, a run of a few steps."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .warm import Ended, Warm

MANIFEST = """\
schema: 1
default: street
datasets:
  street:
    reader: semantickitti
    root: street
    simulate: {train: 3, val: 1, test: 1}
    splits: {train: ['00'], val: ['01'], test: ['02']}
  short_street:
    reader: semantickitti
    root: short_street
    simulate: {train: 1, val: 1, test: 1}
    splits: {train: ['00'], val: ['01'], test: ['02']}
  room:
    reader: scannet
    root: room
    simulate: {world: room, train: 1, val: 1, test: 1, frames_per_room: 2}
    splits: {train: [scene0000_00], val: [scene0001_00], test: [scene0002_00]}
    pairs: {visibility: depth_map}
image_captions: {name: palette}
entities: {name: palette, vocabulary: captions}
text_embeddings: {name: hashing}
shard_scans: 2
workers: 1
"""

_SETTINGS = (
    "data.voxel_m=3.0",
    "data.workers=0",
    "net.stem=4",
    "net.encoder=[6, 6, 6]",
    "net.decoder=[6, 6, 6]",
    "schedule.steps=6",
    "schedule.validate_every=3",
    "schedule.checkpoint_every=2",
)
_RUN = ("--ratio", "34", "--preset", "demo", *(word for one in _SETTINGS for word in ("--set", one)))

RUN_FOLDER = "runs/street/lass3d-demo-r34-s0"

_NO_RESULT = ("inputs.json", ".lock", "lock", "events", "environment.json")
"""Files that differ between equal runs: caches, locks, TensorBoard's events (named by time), the machine."""

_OF_THE_MACHINE = ("seconds", "peak_memory")
"""Prefixes of the log's columns that differ between equal runs."""


@dataclass(frozen=True)
class Target:
    """One command that can be killed.

    command: its words; {folder} stands for the project's folder.
    made: the file or folder that it makes, below the project's folder.
    resume: words added to the command when it is run again.
    workers: number of workers while it is killed.
    """

    name: str
    command: tuple[str, ...]
    made: str
    resume: tuple[str, ...] = ()
    workers: int = 1


_STREET = "artifacts/street"
_PAIRS = ("preprocess", "pairs")
_LONG_AGO = 1_500_000_000
"""Seconds since 1970. Inputs get this date, because digests of files written just now are not cached."""

TRAINING = Target("training", ("train", "run", *_RUN), RUN_FOLDER, ("--resume",))

TARGETS = (
    Target("street", ("preprocess", "simulate", "--dataset", "short_street"), "short_street"),
    Target("room", ("preprocess", "simulate", "--dataset", "room"), "room"),
    Target(
        "image_captions", ("preprocess", "captions", "--only", "image_captions"), f"{_STREET}/image_captions"
    ),
    Target("entities", ("preprocess", "captions", "--only", "entities"), f"{_STREET}/entities"),
    Target(
        "text_embeddings",
        ("preprocess", "captions", "--only", "text_embeddings"),
        f"{_STREET}/text_embeddings.h5",
    ),
    Target("pairs", _PAIRS, f"{_STREET}/pairs"),
    TRAINING,
    Target("export", ("train", "export", "--split", "test", "--into", "{folder}/export", *_RUN), "export"),
    Target(
        "entities, 2 workers",
        ("preprocess", "captions", "--only", "entities"),
        f"{_STREET}/entities",
        workers=2,
    ),
    Target("pairs, 2 workers", _PAIRS, f"{_STREET}/pairs", workers=2),
)


class TinyProject:
    """A folder with a manifest, whose contents the programs make in children of `warm`."""

    def __init__(self, folder: Path, warm: Warm) -> None:
        self.folder = folder
        self.warm = warm

    @property
    def manifest(self) -> Path:
        """The project's data_manifest.yaml."""
        return self.folder / "data_manifest.yaml"

    def set_workers(self, workers: int) -> None:
        """Rewrite the manifest for this number of workers, on which no result depends."""
        self.manifest.write_text(MANIFEST.replace("workers: 1", f"workers: {workers}"))

    def run(self, command: Sequence[str], **conditions: object) -> Ended:
        """Run a command (the program's name first) on this project's manifest. conditions: see Warm.call."""
        program, *arguments = (word.replace("{folder}", str(self.folder)) for word in command)
        return self.warm.run(
            program, *arguments, "--manifest", str(self.manifest), folder=self.folder, **conditions
        )

    def make_everything(self) -> None:
        """Run every target once, without a fault."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.set_workers(1)
        self._made("street", ("preprocess", "simulate", "--dataset", "street"))
        for path in (self.folder / "street").rglob("*"):
            os.utime(path, (_LONG_AGO, _LONG_AGO))
        for target in TARGETS:
            if target.workers == 1:
                self._made(target.name, target.command)

    def _made(self, name: str, command: Sequence[str]) -> None:
        ended = self.run(command)
        if ended.status:
            raise RuntimeError(f"{name} ended with {ended.status}: {ended.errors}")

    def remove(self, made: str) -> None:
        """Delete a file or a folder below the project's folder, if it is there."""
        path = self.folder / made
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def content(self, made: str) -> dict[str, bytes]:
        """Path below the project's folder -> bytes, for every result below `made`."""
        top = self.folder / made
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.folder)): _result(path)
            for path in files
            if not any(map(_is_no_result, path.relative_to(self.folder).parts))
        }


def _is_no_result(name: str) -> bool:
    return name in _NO_RESULT or name.endswith(".part")


def _result(path: Path) -> bytes:
    """The file's bytes; for a log, the columns that equal runs share."""
    content = path.read_bytes()
    if path.name != "log.csv":
        return content
    rows = csv.DictReader(io.StringIO(content.decode()))
    kept = [
        {name: value for name, value in row.items() if not name.startswith(_OF_THE_MACHINE)} for row in rows
    ]
    return repr(kept).encode()
