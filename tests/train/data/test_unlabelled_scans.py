"""The figures of benchmarks/experiments/unlabelled_scans.py."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.experiments import unlabelled_scans
from lass3d_core.errors import DataError
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.records import PairedScan
from train.data.paired_scans import PairedScans
from train.demo.runs import train_all
from train.evaluate import confusions_of, predict
from train.tables.ours import TABLE_REAL
from train.tables.plan import Recipe, TableRun, plan_table

TINY = ("schedule.steps=2", "net.stem=4", "net.encoder=[6, 6, 6]", "net.decoder=[6, 6, 6]")
GIVEN = ("--ratio", "20", "--preset", "demo", "--seeds", "0", "--set", *TINY)


def supervised_run(project) -> TableRun:
    """The first run of the table, trained in two steps."""
    manifest, dataset = read_manifest(project.manifest)
    recipe = Recipe(manifest, dataset, (0,), (20.0,), "val", "demo", TINY)
    cell = plan_table(TABLE_REAL, recipe, PairedScans.open(project.artifacts)).cells[0]
    train_all([cell.plan], at_most=1)
    return cell


def in_two_places(scan: PairedScan) -> PairedScan:
    """Training scans with an odd number are another sequence."""
    sequence, number = scan.scan_id.split("/")
    other = sequence == "0" and int(number) % 2 == 1
    return replace(scan, scan_id=f"{'other' if other else sequence}/{number}")


def test_scans_beside_a_labelled_one_are_left_out() -> None:
    unlabelled = ["00/3", "00/6", "02/0", "04/0", "town/02/1"]
    assert unlabelled_scans.scans_elsewhere(unlabelled, ["00/0", "04/9"]) == ["02/0", "town/02/1"]


def test_figures_are_those_of_the_unlabelled_scans_elsewhere(tiny, rewrite_tiny) -> None:
    rewrite_tiny(tiny, in_two_places)
    run = supervised_run(tiny).plan.open()
    labelled = {scan_id.split("/")[0] for scan_id in run.split.labelled}
    elsewhere = [scan_id for scan_id in run.split.unlabelled if scan_id.split("/")[0] not in labelled]
    matrices = np.zeros((2, 3, 3), np.int64)
    for scan_id in elsewhere:
        scan = run.pairs.read(scan_id)
        seen = (scan.pairs.image >= 0).any(axis=1)
        predicted = predict(run.trained_predictor(), run.whole_scan(scan_id), run.device)
        matrices += confusions_of(scan.labels, predicted, seen, 3)
    every, camera = (100 * np.trace(matrix) / matrix.sum() for matrix in matrices)
    figures = unlabelled_scans.figures_of(run)
    assert elsewhere and figures.scans == len(elsewhere) and figures.split == "unlabelled"
    assert figures.accuracy == pytest.approx(every, abs=1e-3)
    assert figures.camera and figures.camera.accuracy == pytest.approx(camera, abs=1e-3)


def test_a_run_with_a_label_in_every_sequence_has_no_such_scans(tiny) -> None:
    cell = supervised_run(tiny)
    with pytest.raises(DataError, match="each sequence has a labelled scan"):
        unlabelled_scans.figures_of(cell.plan.open())


@pytest.mark.slow
def test_the_page_outlives_the_runs(tiny, rewrite_tiny, tmp_path: Path, monkeypatch, capsys) -> None:
    rewrite_tiny(tiny, in_two_places)
    supervised_run(tiny)
    given = ["unlabelled_scans", "--manifest", str(tiny.manifest), *GIVEN, "--figures", str(tmp_path / "f")]
    monkeypatch.setattr(sys, "argv", given)

    def told() -> str:
        capsys.readouterr()
        unlabelled_scans.main()
        return capsys.readouterr().out

    first = told()
    page = tmp_path / "f" / "tiny" / "unlabelled-demo.md"
    before = page.read_text()
    shutil.rmtree(tiny.root / "runs")
    assert told() == first and page.read_text() == before
    assert "| supervised only |" in before and first.strip() in before
    shutil.rmtree(tmp_path / "f")
    with pytest.raises(DataError, match="no run of the table is finished here"):
        told()
