from __future__ import annotations

import io
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from train.__main__ import main
from train.evaluate import Metrics
from train.runs.logs import read_log
from train.trackers.contract import TrackedRun
from train.trackers.tensorboard import TensorBoard


def written(folder: Path, first: int, last: int) -> None:
    board = TensorBoard(TrackedRun(folder, "lass3d-tiny", {}, (), first))
    for step in range(first, last):
        board.log(step, {"loss": 1 / (step + 1)})
    board.finish("finished")


def test_every_step_is_shown_once_after_a_restart(tmp_path: Path) -> None:
    written(tmp_path, 0, 7)
    # Files of one second are sorted by a number without leading zeros; a restart takes longer than that.
    time.sleep(1.1)
    written(tmp_path, 5, 9)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(9))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, _built: Any) -> Path:
    """The folder of a finished run."""
    project = type(_built)(tmp_path_factory.mktemp("board") / "project")
    shutil.copytree(_built.root, project.root)
    assert main(project.training()) == 0
    found: Path = project.run("supervised-demo-r20-s0")
    return found


def test_the_curves_are_those_of_the_log_and_of_every_class(folder: Path) -> None:
    events = EventAccumulator(str(folder / "events")).Reload()
    rows = read_log(folder / "log.csv")
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(
        [float(row["loss"]) for row in rows], rel=1e-4
    )
    of_classes = [
        events.Scalars(f"val_iou/{name}")[-1].value
        for name in ("ground", "wall", "lamp")
        if f"val_iou/{name}" in events.Tags()["scalars"]
    ]
    assert sum(of_classes) / 3 == pytest.approx(float(rows[-1]["val_miou"]), abs=1e-4)


def test_the_last_figures_are_those_of_the_metrics(folder: Path) -> None:
    events = EventAccumulator(str(folder / "events")).Reload()
    for split in ("val", "test"):
        metrics = Metrics.load(folder / f"metrics-{split}.json")
        (said,) = events.Scalars(f"final/{split}_miou")
        assert said.step == 11 and said.value == pytest.approx(metrics.miou_official, abs=1e-6)
        (ground,) = events.Scalars(f"final_{split}_iou/ground")
        assert ground.value == pytest.approx(metrics.iou[0], abs=1e-6)


def test_the_settings_and_what_to_compare_by_are_hyper_parameters(folder: Path) -> None:
    events = EventAccumulator(str(folder / "events")).Reload()
    summary = events.summary_metadata["_hparams_/experiment"].plugin_data.content
    experiment = plugin_data_pb2.HParamsPluginData.FromString(summary).experiment
    names = {info.name for info in experiment.hparam_infos}
    assert {"optim.peak_lr", "method_name", "ratio", "net.encoder"} <= names
    measured = {info.name.tag for info in experiment.metric_infos}
    assert measured == {"val_miou", "final/val_miou", "final/test_miou"}


def test_each_validation_leaves_a_picture_of_one_scan(folder: Path) -> None:
    events = EventAccumulator(str(folder / "events"), size_guidance={"images": 0}).Reload()
    pictures = events.Images("truth_prediction_error")
    assert [one.step for one in pictures] == [5, 11]
    image = np.asarray(Image.open(io.BytesIO(pictures[-1].encoded_image_string)))
    assert image.shape == (300, 3 * 420 + 2 * 6, 3)
    truth = image[:, :420].reshape(-1, 3)
    assert (truth == (200, 100, 50)).all(axis=1).any(), "no point in the colour of the class wall"
