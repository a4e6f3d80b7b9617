"""A run on data whose labels are partly missing, or all ignored: what it says, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from lass3d_core.records import PairedScan
from train.__main__ import main
from train.config import SavedRun, with_settings
from train.data.paired_scans import PairedScans
from train.evaluate import Metrics
from train.presets.demo import demo
from train.report.runs import read_run
from train.runs.logs import read_log
from train.runs.run import Run
from train.runs.run_folder import RunFolder

SHORT = (
    "schedule.steps=2", "schedule.validate_every=1", "net.stem=4", "net.encoder=[6, 6, 6]",
    "net.decoder=[6, 6, 6]",
)  # fmt: skip
RUN = "supervised-demo-r20-s0"
Change = Callable[[PairedScan], PairedScan]


def without_labels(*scans: str) -> Change:
    """Scans whose id starts with one of `scans` have no label file."""
    return lambda scan: replace(scan, labels=None) if scan.scan_id.startswith(scans) else scan


def ignored(*scans: str) -> Change:
    """Every label of such scans is ignored."""

    def change(scan: PairedScan) -> PairedScan:
        if not scan.scan_id.startswith(scans):
            return scan
        return replace(scan, labels=np.full(len(scan.points), IGNORE, np.uint8))

    return change


def refusal(arguments: Collection[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command refuses."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_training_without_any_label_names_where_labels_belong(tiny: Any, rewrite_tiny: Any, capsys) -> None:
    rewrite_tiny(tiny, without_labels("0/"))
    line = refusal(tiny.training(settings=SHORT), capsys)
    assert line.startswith("error: 0 of 10 training scans of tiny have labels; ")
    assert "the folder labels/ of each sequence below" in line and 'run "make pairs"' in line
    assert "ratio" not in line


def test_the_message_names_the_files_of_the_layout(tiny: Any, rewrite_tiny: Any, capsys) -> None:
    rewrite_tiny(tiny, without_labels("0/"))
    rooms = tiny.manifest.read_text().replace("semantickitti", "scannet").replace("{}", "{world: room}")
    tiny.manifest.write_text(rooms)
    assert "SCENE_vh_clean_2.labels.ply" in refusal(tiny.training(settings=SHORT), capsys)


@pytest.mark.parametrize(
    ("scans", "said"),
    [
        (("1/",), "error: no point of 2 labelled scans of the split val has a class: every label is ignored"),
        (("2/",), "error: no point of 2 labelled scans of the split test has a class"),
        (("0/",), "error: no point of 2 labelled scans of the split train has a class"),
    ],
)
def test_labels_that_are_all_ignored_stop_the_training_before_its_first_step(
    tiny: Any, rewrite_tiny: Any, capsys, scans: tuple[str, ...], said: str
) -> None:
    rewrite_tiny(tiny, ignored(*scans))
    unweighted = (*SHORT, "optim.class_weights=equal")
    assert refusal(tiny.training(settings=unweighted), capsys).startswith(said)
    assert not (tiny.run(RUN) / "config.json").exists()


@pytest.mark.parametrize("passes", ["1", "2"])
def test_an_evaluation_without_a_counted_point_is_an_error(
    tiny: Any, rewrite_tiny: Any, capsys, passes: str
) -> None:
    assert main(tiny.training(settings=SHORT)) == 0
    rewrite_tiny(tiny, ignored("1/"))
    line = refusal(tiny.arguments("eval", "--run", str(tiny.run(RUN)), "--tta", passes), capsys)
    assert "no point of 2 labelled scans of the split val has a class" in line


@pytest.mark.parametrize("passes", ["1", "2"])
def test_an_evaluation_counts_the_points_in_camera_by_themselves(tiny: Any, capsys, passes: str) -> None:
    """A point of the tiny scans is in camera if it lies in front, and five of each have no class."""
    assert main(tiny.training(settings=SHORT)) == 0
    folder = RunFolder(tiny.run(RUN))
    assert main(tiny.arguments("eval", "--run", str(folder.path), "--tta", passes)) == 0
    assert capsys.readouterr().out.count("in camera (") == 3  # twice by the training: val and test
    pairs = PairedScans.open(tiny.artifacts)
    scans = [pairs.read(scan_id) for scan_id in pairs.splits["val"]]
    in_front = sum(int(((scan.points[:, 0] > 0) & (scan.labels != IGNORE)).sum()) for scan in scans)
    found = Metrics.load(folder.metrics("val", int(passes)))
    assert found.in_camera is not None and found.in_camera.points == in_front < found.points
    assert (found.matrix >= found.in_camera.matrix).all()


def test_without_an_image_there_are_no_figures_in_camera(tiny: Any, rewrite_tiny: Any, capsys) -> None:
    def blind(scan: PairedScan) -> PairedScan:
        image = np.empty((len(scan.points), 0), np.int16)
        return replace(scan, pairs=replace(scan.pairs, image=image, image_ids=()))

    rewrite_tiny(tiny, lambda scan: scan if scan.scan_id.startswith("0/") else blind(scan))
    assert main(tiny.training(settings=SHORT)) == 0
    assert "in camera" not in capsys.readouterr().out
    assert Metrics.load(tiny.run(RUN) / "metrics-val.json").in_camera is None


def test_figures_say_of_how_many_scans_they_speak(tiny: Any, rewrite_tiny: Any, capsys) -> None:
    rewrite_tiny(tiny, without_labels("1/0"))
    assert main(tiny.training(settings=SHORT)) == 0
    assert "points of 1 scan (1 of 2 scans of val has labels)" in capsys.readouterr().out
    found = Metrics.load(tiny.run(RUN) / "metrics-val.json")
    assert (found.scans, found.split_scans) == (1, 2)
    assert main(tiny.arguments("clouds", "--run", str(tiny.run(RUN)), "--split", "val")) == 0
    said = "wrote 8 clouds of 2 of 2 scans of val (1 has no labels, so no truth and no error)"
    assert said in capsys.readouterr().out
    assert main(tiny.arguments("runs")) == 0
    listed = capsys.readouterr().out
    assert "1 of 2 scans of val has labels" in listed and "of test" not in listed


def test_the_log_holds_the_official_mean(tiny: Any, rewrite_tiny: Any) -> None:
    """No scan holds a lamp and none is predicted by the end, so the two rules differ."""

    def no_lamp(scan: PairedScan) -> PairedScan:
        assert scan.labels is not None
        return replace(scan, labels=np.where(scan.labels == 2, IGNORE, scan.labels).astype(np.uint8))

    rewrite_tiny(tiny, no_lamp)
    assert main(tiny.training(settings=(*SHORT, "schedule.steps=12"))) == 0
    metrics = read_run(tiny.run(RUN)).metrics["val"]
    assert metrics.miou_official < metrics.miou_absent_dropped
    last = read_log(tiny.run(RUN) / "log.csv")[-1]
    assert float(last["val_miou"]) == pytest.approx(metrics.miou_official, abs=1e-5)


def test_a_validation_may_see_a_part_of_the_split_and_the_end_sees_all(tiny: Any) -> None:
    assert main(tiny.training(settings=(*SHORT, "schedule.validate_scans=1"))) == 0
    rows = read_log(tiny.run(RUN) / "log.csv")
    assert [row["val_scans"] for row in rows] == ["1", "1"] and all(row["val_miou"] for row in rows)
    found = [Metrics.load(tiny.run(RUN) / f"metrics-{split}.json") for split in ("val", "test")]
    assert [(one.scans, one.points) for one in found] == [(2, 590), (2, 590)]


@pytest.mark.parametrize(("most", "seen"), [(0, 7), (7, 7), (9, 7), (1, 1), (3, 3)])
def test_the_scans_of_a_validation_are_spread_from_the_first_to_the_last(
    tiny: Any, most: int, seen: int
) -> None:
    config = with_settings(demo("tiny", "supervised", 20.0, 0), [f"schedule.validate_scans={most}"])
    spec = DatasetSpec("semantickitti", tiny.root, SplitSpec(("0",), ("1",)))
    pairs = PairedScans.open(tiny.artifacts)
    run = Run.of(config, pairs, spec, RunFolder(tiny.root), torch.device("cpu"))
    of_val = tuple(f"1/{number}" for number in range(7))
    pairs._labelled["val"] = of_val
    assert len(run.validated_scans) == seen and run.validated_scans[0] == of_val[0]
    if most == 3:
        assert run.validated_scans == ["1/0", "1/3", "1/6"]


def test_a_run_without_labels_to_evaluate_says_so_and_logs_no_mean(
    tiny: Any, rewrite_tiny: Any, capsys
) -> None:
    rewrite_tiny(tiny, without_labels("1/", "2/"))
    assert main(tiny.training(settings=SHORT)) == 0
    printed = capsys.readouterr()
    assert "0 of 2 scans of val have labels, so it is not evaluated" in printed.out
    assert "0 of 2 scans of test have labels, so it is not evaluated" in printed.out
    assert "nan" not in printed.err
    assert "val_miou" not in (tiny.run(RUN) / "log.csv").read_text()
    assert main(tiny.arguments("runs")) == 0
    assert "not finished" not in capsys.readouterr().out
    assert main(tiny.training(settings=SHORT)) == 0
    assert "trained before" in capsys.readouterr().out


def test_without_labels_to_evaluate_a_run_is_finished_only_with_its_model(
    tiny: Any, rewrite_tiny: Any
) -> None:
    """Else a killed run would count as trained."""
    rewrite_tiny(tiny, without_labels("1/", "2/"))
    assert main(tiny.training(settings=SHORT)) == 0
    folder = RunFolder(tiny.run(RUN))
    saved = SavedRun.load(folder.config)
    assert folder.is_finished(saved, ())
    folder.model.unlink()
    assert not folder.is_finished(saved, ())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_scans_for_evaluation_are_made_for_the_device_of_the_run(tiny: Any, device: str) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    spec = DatasetSpec("semantickitti", Path(), SplitSpec(("0",), ("1",), ("2",)))
    config, folder = demo("tiny", "supervised", 20.0, 0), RunFolder(tiny.run(RUN))
    run = Run.of(config, pairs, spec, folder, torch.device(device))
    assert run.whole_scans("val").for_gpu == (device == "cuda")
    built = run.whole_scan(pairs.splits["val"][0]).pyramid.submanifold
    assert bool(built) == (device == "cpu")
