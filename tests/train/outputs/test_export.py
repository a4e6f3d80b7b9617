from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lass3d_core.errors import CorruptArtifact, DataError
from lass3d_core.labels import IGNORE
from tests.benchmark_files import READERS, TinyBenchmark, scan_ids_of, write_benchmark
from train.__main__ import main
from train.config import SavedRun
from train.data.paired_scans import PairedScans
from train.outputs import export as module
from train.outputs.export import PredictionFiles
from train.runs.run import Run
from train.runs.run_folder import RunFolder


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TinyBenchmark]:
    """The three benchmarks, each with a run of one step."""
    projects = {}
    for reader in READERS:
        projects[reader] = write_benchmark(tmp_path_factory.mktemp(reader) / "project", reader)
        once = ["--set", "schedule.steps=1", "--set", "schedule.validate_every=1"]
        assert main([*projects[reader].training(), *once]) == 0
    return projects


@pytest.fixture
def trained(trained_once: dict[str, TinyBenchmark], tmp_path: Path) -> Callable[[str], TinyBenchmark]:
    """A trained project of one's own, by reader."""

    def copied(reader: str) -> TinyBenchmark:
        shutil.copytree(trained_once[reader].root, tmp_path / reader)
        return TinyBenchmark(tmp_path / reader, reader)

    return copied


def export(project: TinyBenchmark, *more: str) -> int:
    return main(project.arguments("export", *more))


def refused(project: TinyBenchmark, capsys: pytest.CaptureFixture[str], said: str, *more: str) -> None:
    """The export ends with status 2 and one line that says `said`."""
    capsys.readouterr()
    assert export(project, *more) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and said in lines[0], lines


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def validate_semantic_kitti(archive: Path, dataset: Path) -> None:
    """The rules of semantic-kitti-api's validate_submission.py for the task of segmentation."""
    assert archive.suffix == ".zip"
    with zipfile.ZipFile(archive) as packed:
        entries = {info.filename: info.file_size for info in packed.infolist()}
    assert "sequences/" in entries
    for sequence in range(11, 22):
        assert f"sequences/{sequence}/" in entries and f"sequences/{sequence}/predictions/" in entries
        scans = list((dataset / "sequences" / str(sequence) / "velodyne").iterdir())
        assert scans
        for scan in scans:
            assert (
                entries[f"sequences/{sequence}/predictions/{scan.stem}.label"] / 4 == scan.stat().st_size / 16
            )


def validate_nuscenes(folder: Path, scan_ids: tuple[str, ...], counts: dict[str, int]) -> None:
    """The rules of nuscenes-devkit's eval/lidarseg/validate_submission.py."""
    meta = json.loads((folder / "test" / "submission.json").read_text())["meta"]
    assert set(meta) == {"use_camera", "use_lidar", "use_radar", "use_map", "use_external"}
    assert all(type(value) is bool for value in meta.values())
    for scan_id in scan_ids:
        name = f"{scan_id.rpartition('-')[2]}_lidarseg.bin"
        predicted = np.fromfile(folder / "lidarseg" / "test" / name, np.uint8)
        assert len(predicted) == counts[scan_id]
        assert ((predicted > 0) & (predicted < 17)).all()


def validate_scannet(archive: Path, counts: dict[str, int]) -> None:
    """The documentation of the ScanNet benchmark: SCENE.txt at the root, one id a line for each vertex."""
    valid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39}
    with zipfile.ZipFile(archive) as packed:
        assert set(packed.namelist()) == {f"{scene}.txt" for scene in counts}
        for scene, count in counts.items():
            lines = packed.read(f"{scene}.txt").decode().splitlines()
            assert len(lines) == count and {int(line) for line in lines} <= valid


@pytest.mark.parametrize("reader", READERS)
def test_the_official_validation_accepts_what_is_uploaded(
    trained: Callable[[str], TinyBenchmark], reader: str, tmp_path: Path
) -> None:
    project = trained(reader)
    assert export(project, "--split", "test") == 0
    archive = project.run / "export-test" / "submission.zip"
    pairs, scan_ids = PairedScans.open(project.artifacts), scan_ids_of(reader)["test"]
    counts = {scan_id: pairs.point_count(scan_id) for scan_id in scan_ids}
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
        packed.extractall(tmp_path / "server")
    assert files_below(tmp_path / "server") == files_below(archive.parent) - {"export.json", archive.name}
    match reader:
        case "semantickitti":
            validate_semantic_kitti(archive, project.data)
        case "scannet":
            validate_scannet(archive, counts)
        case _:
            validate_nuscenes(tmp_path / "server", scan_ids, counts)


@pytest.mark.parametrize("reader", READERS)
def test_the_files_hold_what_the_network_says(trained: Callable[[str], TinyBenchmark], reader: str) -> None:
    """Written, decoded and compared with a prediction scan by scan."""
    project = trained(reader)
    assert export(project) == 0
    run, submission = run_of(project), project.submission
    predictor = run.trained_method().predictor.eval()
    for scan_id in scan_ids_of(reader)["val"]:
        path = project.run / "export-val" / submission.file("val", scan_id)
        predicted = module.predictions(predictor, [run.whole_scan(scan_id)], run.device)
        np.testing.assert_array_equal(submission.decode(path.read_bytes(), "file"), next(iter(predicted))[1])


def test_the_last_line_counts_scans_and_points_and_says_where(trained, capsys, tmp_path: Path) -> None:
    project = trained("scannet")
    capsys.readouterr()
    assert export(project, "--into", str(tmp_path / "there")) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1]
        == f"wrote 2 scans, 320 points, checked: {tmp_path / 'there'}"
    )
    assert files_below(tmp_path / "there") == {"export.json", "scene0011_00.txt", "scene0012_00.txt"}


def test_an_interrupted_export_goes_on_and_ends_in_the_same_bytes(trained, capsys) -> None:
    project = trained("semantickitti")
    assert export(project, "--split", "test") == 0
    folder = project.run / "export-test"
    whole = {name: (folder / name).read_bytes() for name in files_below(folder)}
    label = "sequences/{}/predictions/000000.label".format
    (folder / label(12)).unlink()
    (folder / label(13)).write_bytes(whole[label(13)][:-4])
    (folder / label(14)).write_bytes(bytes(len(whole[label(14)])))
    (folder / f"{label(15)}.4000000.part").write_bytes(b"half")
    (folder / "submission.zip").unlink()
    kept = (folder / label(11)).stat().st_mtime_ns
    capsys.readouterr()
    assert export(project, "--split", "test") == 0
    assert "wrote 11 scans (8 kept)" in capsys.readouterr().out
    assert {name: (folder / name).read_bytes() for name in files_below(folder)} == whole
    assert (folder / label(11)).stat().st_mtime_ns == kept


def test_a_folder_of_another_run_or_split_is_left_alone(trained, capsys, tmp_path: Path) -> None:
    project, there = trained("nuscenes"), str(tmp_path / "there")
    assert export(project, "--into", there) == 0
    before = files_below(Path(there))
    refused(project, capsys, "another run or split", "--into", there, "--split", "test")
    refused(trained("scannet"), capsys, "another run or split", "--into", there)
    assert files_below(Path(there)) == before


def test_a_folder_that_is_no_export_is_left_alone(trained, capsys, tmp_path: Path) -> None:
    project = trained("scannet")
    (tmp_path / "notes.txt").write_text("mine")
    refused(project, capsys, "no export of ours", "--into", str(tmp_path))
    refused(project, capsys, "no export of ours", "--into", str(tmp_path / "notes.txt"))
    (tmp_path / "export.json").write_text("{}")
    refused(project, capsys, "run_digest: missing", "--into", str(tmp_path))


def test_a_foreign_file_among_the_predictions_is_named(trained, capsys) -> None:
    """ScanNet's evaluator takes every .txt file for a scene, SemanticKITTI's counts the .label files."""
    project = trained("scannet")
    assert export(project) == 0
    (project.run / "export-val" / "scene9999_00.txt").write_text("1\n")
    refused(project, capsys, "scene9999_00.txt is no part of the export")


def test_a_run_that_is_not_trained_exports_nothing(tmp_path: Path, capsys) -> None:
    project = write_benchmark(tmp_path / "project", "scannet")
    refused(project, capsys, "config.json is missing")
    assert not (project.root / "runs").exists()


def test_an_unknown_split_is_one_line(trained, capsys) -> None:
    refused(trained("scannet"), capsys, "no split 'tset' (known: train, val, test)", "--split", "tset")


def test_a_split_without_scans_is_one_line(trained, tmp_path: Path) -> None:
    run = run_of(project := trained("scannet"))
    run = replace(run, pairs=replace(run.pairs, splits=run.pairs.splits | {"test": ()}))
    with pytest.raises(DataError, match="holds no scan of the split test; name some"):
        module.export(run, project.spec, "test", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_classes_that_are_not_the_benchmarks_are_refused(tiny, capsys) -> None:
    assert main(tiny.training()) == 0
    assert main(tiny.arguments("export", "--method", "supervised", "--ratio", "20")) == 2
    assert "has the classes ground, wall, lamp, ..., the benchmark car, bicycle" in capsys.readouterr().err


def test_what_does_not_read_back_never_takes_its_name(tmp_path: Path) -> None:
    """There is no class 77; a point without a class reads back, and cannot be handed in."""
    project = write_benchmark(tmp_path / "project", "semantickitti")
    files = PredictionFiles(tmp_path / "out", project.submission, "val", PairedScans.open(project.artifacts))
    beyond = np.full(160, 77, np.uint8)
    with pytest.raises(CorruptArtifact, match=r"000000\.label reads back differently"):
        files.write("08/000000", beyond)
    assert not files.is_whole("08/000000") and files_below(tmp_path / "out") == set()
    files.write("08/000000", np.full(160, IGNORE, np.uint8))
    assert not files.is_whole("08/000000")


def run_of(project: TinyBenchmark) -> Run:
    """The trained run, opened."""
    config = SavedRun.load(project.run / "config.json").config
    pairs = PairedScans.open(project.artifacts)
    return Run.of(config, pairs, project.spec, RunFolder(project.run), torch.device("cpu"))


def test_an_export_that_was_killed_while_it_claimed_the_folder_goes_on(trained) -> None:
    project = trained("scannet")
    folder = project.run / "export-val"
    folder.mkdir()
    (folder / "export.json.999999.part").write_text('{"run_')
    assert export(project) == 0
    assert not (folder / "export.json.999999.part").exists()
