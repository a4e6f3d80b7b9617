"""Full disks, folders that cannot be written or vanish, damaged files, wrong clocks, a second process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.fault_injection.project import RUN_FOLDER, TARGETS, Target, TinyProject
from lass3d_core.files.lock import only_one
from train.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

TARGET = {target.name: target for target in TARGETS}
STREET = "artifacts/street"


def remove(project: TinyProject, made: str) -> None:
    path = project.folder / made
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def refusal(project: TinyProject, command: tuple[str, ...], **conditions: object) -> str:
    """The one line of a command's error; the command must end with status 2."""
    ended = project.run(command, **conditions)
    assert ended.status == 2, ended.errors
    (line,) = ended.error_lines
    assert line.startswith("error: ")
    return line


def heals(project: TinyProject, finished: TinyProject, target: Target) -> None:
    """Check that the command, run again, gives the same bytes as an undisturbed run."""
    ended = project.run((*target.command, *target.resume))
    assert ended.status == 0, ended.errors
    assert project.content(target.made) == finished.content(target.made)


LARGEST = {
    "street": 20_000,
    "entities": 2_000,
    "pairs": 50_000,
    "training": 100_000,
    "export": 1_000,
}
"""A limit in bytes for each target: its main file is larger, the small files beside it are not."""


@pytest.mark.parametrize("name", LARGEST)
def test_a_disk_that_takes_no_more_gets_one_line_and_the_rest_is_made_later(
    finished: TinyProject, project: TinyProject, name: str
) -> None:
    target = TARGET[name]
    remove(project, target.made)
    line = refusal(project, target.command, file_bytes=LARGEST[name])
    assert "cannot write " in line and "raise the limit" in line
    assert not list(project.folder.rglob("*.part"))
    heals(project, finished, target)


@pytest.mark.parametrize(("name", "share"), [("entities", 0.3), ("pairs", 0.6), ("training", 0.8)])
def test_a_folder_that_vanishes_meanwhile_costs_its_contents_alone(
    finished: TinyProject, project: TinyProject, name: str, share: float
) -> None:
    """The command is killed in the middle; then its folder is deleted, and the lock too."""
    target = TARGET[name]
    remove(project, target.made)
    whole = project.run(target.command)
    assert whole.status == 0
    remove(project, target.made)
    assert project.run(target.command, kill_at_event=int(share * whole.events)).killed
    shutil.rmtree(project.folder / target.made, ignore_errors=True)
    (project.folder / STREET / ".lock").unlink(missing_ok=True)
    heals(project, finished, target)


@pytest.mark.parametrize("name", ["pairs", "training"])
def test_a_folder_that_cannot_be_written_gets_one_line(
    finished: TinyProject, project: TinyProject, name: str
) -> None:
    """A file stands in the place of the folder: root can write even into a read-only folder."""
    target = TARGET[name]
    remove(project, target.made)
    (project.folder / target.made).write_text("in the way")
    line = refusal(project, target.command)
    assert str(project.folder / target.made) in line
    (project.folder / target.made).unlink()
    heals(project, finished, target)


def halve(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    middle = 3 * len(content) // 5
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGED = {
    "captions": (f"{STREET}/image_captions/00-000.jsonl", "entities", "image_captions"),
    "entities": (f"{STREET}/entities/00-000.jsonl", "pairs", "entities"),
    "text table": (f"{STREET}/text_embeddings.h5", "training", "text_embeddings"),
    "pair shard": (f"{STREET}/pairs/00-000.h5", "training", "pairs"),
    "index": (f"{STREET}/pairs/index.json", "training", "pairs"),
    "model file": (f"{RUN_FOLDER}/model.safetensors", "export", "training"),
    "configuration": (f"{RUN_FOLDER}/config.json", "export", "training"),
}
"""File, target that reads it, target that makes it again."""


CHECKSUMMED = [name for name, (file, _, _) in DAMAGED.items() if not file.endswith(".json")]


@pytest.mark.parametrize(
    ("name", "damage"), [(name, halve) for name in DAMAGED] + [(name, flip) for name in CHECKSUMMED]
)
def test_a_damaged_file_is_named_and_made_again(
    finished: TinyProject, project: TinyProject, name: str, damage: Callable[[bytes], bytes]
) -> None:
    file, reader, maker = DAMAGED[name]
    path = project.folder / file
    path.write_bytes(damage(path.read_bytes()))
    remove(project, TARGET[reader].made)
    if TARGET[reader].name == "training":
        project.run(TARGET[maker].command, kill_at_event=1)  # the lock is free again, nothing is mended
    line = refusal(project, TARGET[reader].command)
    assert path.name in line or path.parent.name in line
    if maker == "training":
        remove(project, TARGET[maker].made)
    else:
        path.unlink()
    heals(project, finished, TARGET[maker])
    heals(project, finished, TARGET[reader])


def test_damaged_figures_are_taken_again(finished: TinyProject, project: TinyProject) -> None:
    path = project.folder / RUN_FOLDER / "metrics-val.json"
    path.write_bytes(halve(path.read_bytes()))
    command = TARGET["training"].command
    line = refusal(project, ("train", "report", *command[2:]))
    assert "metrics-val.json" in line and "make eval" in line
    assert project.run(("train", "eval", *command[2:])).status == 0
    assert project.content(RUN_FOLDER) == finished.content(RUN_FOLDER)


@pytest.mark.parametrize("seconds", [-(10**9), 10**9])
def test_no_clock_makes_anything_stale_or_fresh(
    finished: TinyProject, project: TinyProject, seconds: int
) -> None:
    """Nothing is redone if all dates lie decades back or ahead; a changed input is noticed."""
    for path in project.folder.rglob("*"):
        when = finished.manifest.stat().st_mtime + seconds
        os.utime(path, (when, when))
    before = {path: path.stat().st_mtime_ns for path in (project.folder / STREET).rglob("*.[hj]*")}
    for name in ("image_captions", "entities", "text_embeddings", "pairs"):
        ended = project.run(TARGET[name].command)
        assert ended.status == 0 and "fresh" in ended.output
    after = {path: path.stat().st_mtime_ns for path in before}
    assert {path for path in before if before[path] != after[path]} <= {
        project.folder / STREET / "inputs.json"
    }
    calibration = project.folder / "street/sequences/00/calib.txt"
    dates = calibration.stat()
    calibration.write_bytes(calibration.read_bytes() + b"\n")
    os.utime(calibration, ns=(dates.st_atime_ns, dates.st_mtime_ns))
    assert "2 of 4 shards to make: 1 of" in project.run(TARGET["pairs"].command).output


def test_a_second_process_on_the_same_artifacts_is_refused(project: TinyProject) -> None:
    with only_one(project.folder / STREET):
        for name in ("image_captions", "pairs"):
            line = refusal(project, TARGET[name].command)
            assert f"process {os.getpid()} on " in line and "is already at work" in line


def test_a_second_process_in_the_same_run_is_refused(project: TinyProject) -> None:
    with RunFolder(Path(project.folder / RUN_FOLDER)).locked():
        assert "is already at work" in refusal(project, TARGET["training"].command)
