"""The answer to a query as the viewer shows it: on the command's page, and on the demo's."""

from __future__ import annotations

from lass3d_core.datasets import Dataset
from lass3d_core.viewer.clouds import Likeness
from train.outputs.query import Answer
from train.report.clouds import PicturedScan, photos_of
from train.runs.run import Run


def pictured_answer(answer: Answer, run: Run, dataset: Dataset | None) -> PicturedScan:
    """The scan, coloured by how like the text its points are. dataset: knows where its camera images lie."""
    return PicturedScan(
        answer.scan,
        answer.prediction,
        photos_of(answer.scan, dataset),
        Likeness(answer.likeness, answer.median, answer.highest),
        has_sensor=not run.config.data.from_corner,
    )
