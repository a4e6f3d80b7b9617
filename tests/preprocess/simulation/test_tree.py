"""The folders of every simulated world: written once, resumed after a kill, renewed for other settings."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from lass3d_core.errors import DataError
from lass3d_core.manifest.schema import DatasetSpec, SimulateSpec, SplitSpec
from preprocess.simulation import SimulationReport, simulate


class World(NamedTuple):
    """A small world. lost: what is removed of it, half: what a killed run leaves, last: written late."""

    settings: dict
    splits: SplitSpec
    scans: int
    folder: str
    lost: tuple[str, ...]
    half: str
    last: str


LISTS = SplitSpec(("train.txt",), ("val.txt",), ("test.txt",))
WORLDS = {
    "street": World(
        {"world": "street", "train": 2, "val": 1, "test": 1, "seed": 5},
        SplitSpec(("00",), ("01",), ("02",)),
        scans=4,
        folder="sequences/01",
        lost=("sequences/00/velodyne/000001.bin", "sequences/02/poses.txt"),
        half="sequences/00/labels/000001.label.999999.part",
        last="sequences/00/image_2/000001.png*",
    ),
    "room": World(
        {"world": "room", "train": 2, "val": 1, "test": 1, "seed": 4, "frames_per_room": 2},
        LISTS,
        scans=4,
        folder="scans/scene0000_00",
        lost=("scans/scene0001_00", "scannetv2_val.txt"),
        half="scans/scene0001_00.999999.part",
        last="scans/scene0001_00.*.part/color/1.jpg",
    ),
}


def write(name: str, root: Path, workers: int = 1, **changes: int) -> SimulationReport:
    world = WORLDS[name]
    reader = "semantickitti" if name == "street" else "scannet"
    spec = SimulateSpec(**{**world.settings, **changes})
    return simulate(DatasetSpec(reader, root, world.splits, simulate=spec), workers)


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="module", params=list(WORLDS))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A world and its tree, written by one process; not to be changed."""
    root = tmp_path_factory.mktemp(request.param)
    report = write(request.param, root)
    assert (report.written, report.kept, report.renewed) == (WORLDS[request.param].scans, 0, None)
    return request.param, root


@pytest.fixture
def tree(written: tuple[str, Path], tmp_path: Path) -> tuple[str, Path]:
    """A copy that tests may change."""
    name, root = written
    return name, shutil.copytree(root, tmp_path / name)


def test_number_of_workers_does_not_matter(written: tuple[str, Path], tmp_path: Path) -> None:
    name, root = written
    write(name, tmp_path, workers=2)
    assert contents(tmp_path) == contents(root)


def test_second_run_keeps_every_file(tree: tuple[str, Path]) -> None:
    name, root = tree
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    report = write(name, root)
    assert (report.written, report.kept, report.renewed) == (0, WORLDS[name].scans, None)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_lost_and_half_written_files_come_back_as_they_were(tree: tuple[str, Path]) -> None:
    name, root = tree
    before, world = contents(root), WORLDS[name]
    for lost in world.lost:
        shutil.rmtree(root / lost) if (root / lost).is_dir() else (root / lost).unlink()
    (root / world.half).write_bytes(b"half")
    assert write(name, root).written == 1
    assert contents(root) == before


def test_other_settings_renew_everything_and_say_why(tree: tuple[str, Path]) -> None:
    name, root = tree
    before = contents(root)
    report = write(name, root, train=1, seed=6)
    was = WORLDS[name].settings["seed"]
    assert (report.written, report.kept) == (3, 0)
    assert str(report).endswith(f"(all anew: train is 1, was 2, seed is 6, was {was})")
    after = contents(root)
    assert all(after.get(path) != before[path] for path in before if path.endswith((".bin", ".jpg")))


def test_settings_of_the_other_world_change_nothing(tree: tuple[str, Path]) -> None:
    name, root = tree
    foreign = {"frames_per_room": 3} if name == "street" else {"cameras": 4, "frames_per_drive": 7}
    assert write(name, root, **foreign).written == 0


@pytest.mark.parametrize("name", list(WORLDS))
def test_folders_of_others_are_left_alone(name: str, tmp_path: Path) -> None:
    precious = tmp_path / WORLDS[name].folder / "precious.bin"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"real")
    with pytest.raises(DataError, match="was not written by the simulator; choose another root"):
        write(name, tmp_path)
    assert contents(tmp_path) == {f"{WORLDS[name].folder}/precious.bin": b"real"}


def test_damaged_record_is_named(tree: tuple[str, Path]) -> None:
    name, root = tree
    (root / f"{name}.json").write_text("[1, 2")
    with pytest.raises(DataError, match=rf"{name}\.json is damaged; delete it"):
        write(name, root)


def test_killed_run_resumes_to_the_same_bytes(written: tuple[str, Path], tmp_path: Path) -> None:
    name, root = written
    script = "import sys, pathlib; from tests.preprocess.simulation.test_tree import write; "
    command = [sys.executable, "-c", f"{script}write({name!r}, pathlib.Path(sys.argv[1]))", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob(WORLDS[name].last)):
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert len(contents(tmp_path)) < len(contents(root))
    write(name, tmp_path)
    assert contents(tmp_path) == contents(root)
