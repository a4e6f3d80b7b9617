"""The validation of a run in the course of its training: figures, and a picture of one scan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import nn

from lass3d_core.model.pictures import GROUND, picture
from lass3d_core.paper.metrics import iou, mean_iou
from train import evaluate
from train.data.evaluation_scans import evaluation_scan
from train.evaluate import Metrics
from train.outputs.colours import class_colours, error_colours
from train.runs.logs import RunLog
from train.runs.run import Run
from train.runs.stopping import Stopping

PICTURE = "truth_prediction_error"
_SIZE_HW = (300, 420)
_GAP = 6  # pixels between the three


def validate(run: Run, predictor: nn.Module, stopping: Stopping, log: RunLog | None) -> dict[str, float]:
    """The figures of the validation split. Empty if there is nothing to measure, or if the run has to end.

    log: gets the picture. Leaves `predictor` in eval mode.
    """
    if "val" not in run.splits:
        return {}  # nothing to measure: a NaN in the log would look like a failure
    scan_ids = run.validated_scans
    every, _ = run.confusions(predictor, scan_ids, stopping=stopping)
    if stopping.agreed():
        return {}  # the loop asks again before the next step, and ends; a resumed run begins with it
    if log is not None:
        log.show(PICTURE, pictured(run, predictor, scan_ids[len(scan_ids) // 2]))
    figures = {"val_miou": mean_iou(every, run.absent), "val_scans": float(len(scan_ids))}
    return figures | _of_classes("val_iou", dict(zip(run.pairs.header.class_names, iou(every).tolist())))


def final_figures(metrics: Metrics) -> dict[str, float]:
    """What the trackers get of the evaluation after the last step: means, and the IoU of each class."""
    means = {"miou": metrics.miou_official, "accuracy": metrics.accuracy}
    figures = {f"final/{metrics.split}_{name}": value for name, value in means.items() if value is not None}
    of_classes = {name: np.nan if one is None else one for name, one in zip(metrics.class_names, metrics.iou)}
    return figures | _of_classes(f"final_{metrics.split}_iou", of_classes)


def pictured(run: Run, predictor: nn.Module, scan_id: str) -> np.ndarray:
    """Truth, prediction and error of a scan side by side, (H,W,3) uint8."""
    scan = run.pairs.read(scan_id)
    # A pass of its own: the validation keeps no predictions, and one scan of hundreds costs little.
    whole = evaluation_scan(scan, run.config.data, run.levels, for_gpu=run.device.type == "cuda")
    prediction = evaluate.predict(predictor, whole, run.device)
    table = class_colours(run.pairs.header.colours)
    shown = [table[prediction]]
    if scan.labels is not None:
        shown = [table[scan.labels], *shown, error_colours(scan.labels, prediction)]
    gap = np.full((_SIZE_HW[0], _GAP, 3), GROUND, np.uint8)
    images = [picture(scan.points, colours, _SIZE_HW) for colours in shown]
    return np.hstack([part for image in images for part in (image, gap)][:-1])


def _of_classes(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    """Figures by class. A class that is neither true nor predicted has none."""
    return {f"{prefix}/{name}": value for name, value in values.items() if not np.isnan(value)}
