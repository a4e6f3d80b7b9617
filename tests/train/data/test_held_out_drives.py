"""The figures of benchmarks/experiments/held_out_drives.py."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.experiments import held_out_drives
from lass3d_core.errors import DataError, MissingArtifact
from lass3d_core.manifest.reading import read_manifest
from train.data.paired_scans import PairedScans
from train.tables.figures import TableResults
from train.tables.ours import TABLE_REAL
from train.tables.plan import Recipe, plan_table
from train.tables.run_figures import CameraShares, RunFigures

TINY = ("schedule.steps=2", "net.stem=4", "net.encoder=[6, 6, 6]", "net.decoder=[6, 6, 6]")
GIVEN = ("--ratio", "20", "--preset", "demo", "--rows", "supervised", "plus", "--set", *TINY)
SUPERVISED, PLUS = "supervised only", "LASS3D+"


def one_place(project, miou: dict[tuple[str, int], float]) -> TableResults:
    """Results of a place in which accuracy is 1 more than mIoU, and figures in camera are twice as high."""
    manifest, dataset = read_manifest(project.manifest)
    rows = tuple(row for row in TABLE_REAL.rows if row.title in (SUPERVISED, PLUS))
    recipe = Recipe(manifest, dataset, (0, 1), (20.0,), "val", "demo", TINY)
    table = replace(TABLE_REAL, rows=rows, reference=PLUS)
    plan = plan_table(table, recipe, PairedScans.open(project.artifacts))

    def figures(value: float) -> RunFigures:
        camera = CameraShares(None, 2 * value, 2 * value + 2)
        return RunFigures(
            *("0" * 64, "val", None, value, value + 1, "zero", (), 1, 1, 2, None, None, None), camera=camera
        )

    return TableResults(plan, {(title, 20.0, seed): figures(value) for (title, seed), value in miou.items()})


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_place_counts_with_the_mean_over_the_seeds_that_both_have(tiny) -> None:
    place = one_place(tiny, {(SUPERVISED, 0): 10, (PLUS, 0): 13, (SUPERVISED, 1): 10, (PLUS, 1): 15})
    assert held_out_drives.gap_of(place, SUPERVISED, "mIoU") == pytest.approx(4.0)
    assert held_out_drives.gap_of(place, SUPERVISED, "accuracy in camera") == pytest.approx(8.0)
    half = one_place(tiny, {(SUPERVISED, 0): 10, (PLUS, 0): 13, (PLUS, 1): 15})
    assert held_out_drives.gap_of(half, SUPERVISED, "mIoU") == pytest.approx(3.0)
    assert held_out_drives.gap_of(one_place(tiny, {(PLUS, 0): 13}), SUPERVISED, "mIoU") is None


def test_intervals_are_over_the_places(tiny) -> None:
    """Gaps 2 and 4: the mean is 3, and Student's t with one degree of freedom has the quantile 12.706."""
    places = {
        "00": one_place(tiny, {(SUPERVISED, 0): 10, (PLUS, 0): 12}),
        "08": one_place(tiny, {(SUPERVISED, 0): 20, (PLUS, 0): 24}),
    }
    lines = [cells(line) for line in held_out_drives.tables(places).splitlines()]
    assert ["LASS3D+ minus", "of", "00", "08", "mean", "95 %", ""] in lines
    verdict = "not distinguishable"
    assert [SUPERVISED, "mIoU", "+2.0", "+4.0", "+3.0", "-9.7 to +15.7", verdict] in lines
    assert [SUPERVISED, "mIoU in camera", "+4.0", "+8.0", "+6.0", "-19.4 to +31.4", verdict] in lines
    means = next(line for line in lines if line[0] == SUPERVISED)
    assert means[1].startswith("15.0 (") and means[2].startswith("16.0 (")


def told(monkeypatch, capsys, *given: str) -> str:
    """What the command prints last."""
    monkeypatch.setattr(sys, "argv", ["held_out_drives", *given])
    capsys.readouterr()
    held_out_drives.main()
    return capsys.readouterr().out[-2000:]


@pytest.mark.slow
def test_the_page_outlives_the_runs(tiny, tmp_path: Path, monkeypatch, capsys) -> None:
    figures = tmp_path / "figures"
    given = ["--manifest", str(tiny.manifest), "--datasets", "tiny", "--seeds", "0", *GIVEN]
    given += ["--figures", str(figures)]
    first = told(monkeypatch, capsys, *given)
    before = (figures / "held-out.md").read_text()
    listed = (figures / "held-out-runs.csv").read_text()
    assert '"supervised only, without 1"' in listed and '"LASS3D+, without 1"' in listed
    shutil.rmtree(tiny.root / "runs")
    assert told(monkeypatch, capsys, *given).splitlines()[-4:] == first.splitlines()[-4:]
    assert (figures / "held-out.md").read_text() == before
    assert (figures / "held-out-runs.csv").read_text() == listed


def test_a_place_is_kept_out_once(tiny, monkeypatch, capsys) -> None:
    given = ["--manifest", str(tiny.manifest), "--datasets", "tiny", "tiny", "--seeds", "0", *GIVEN]
    with pytest.raises(DataError, match="1 is kept out twice"):
        told(monkeypatch, capsys, *given)
    assert not (tiny.root / "runs").exists()


def test_a_place_without_pairs_is_found_before_any_training(
    tiny, tmp_path: Path, monkeypatch, capsys
) -> None:
    text = tiny.manifest.read_text()
    other = "  other: {reader: semantickitti, root: data, simulate: {}, splits: {train: ['0'], val: ['3']}}\n"
    tiny.manifest.write_text(text.replace("image_captions:", f"{other}image_captions:", 1))
    given = ["--manifest", str(tiny.manifest), "--datasets", "tiny", "other", "--seeds", "0", *GIVEN]
    with pytest.raises(MissingArtifact, match="other"):
        told(monkeypatch, capsys, *given)
    assert not (tiny.root / "runs").exists()
