"""How long a step waits for a batch that worker processes build from whole scans."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from statistics import median

import numpy as np
import torch

from benchmarks.gpu.report import Report
from benchmarks.gpu.work import CLASSES, FEATURES, Case, Trainer, scans_of
from benchmarks.memory import PHRASES, ROWS, TEXT_DIM
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.files.text_table import CaptionRows
from lass3d_core.records import NONE, PairedScan, PointTextPairs
from train.data.batches import StepBatches, batch_loader
from train.runs.byte_count import bytes_of

_SCANS = 8  # in memory, half of them labelled
_MOST_WORKERS = 8


class TextsInMemory:
    """A caption for each scan and some phrases, as `TextRowsFile` gives them."""

    def __init__(self, scans: int) -> None:
        rng = np.random.default_rng(0)
        self.image_ids = tuple(f"image {number}" for number in range(scans))
        self.image_caption = np.arange(scans, dtype=np.int32)
        self.phrases = tuple(f"phrase {number}" for number in range(PHRASES))
        self.phrase_rows = rng.standard_normal((PHRASES, TEXT_DIM)).astype(np.float16)
        self._rows = rng.standard_normal((ROWS, TEXT_DIM)).astype(np.float16)

    def captions(self, captions: Sequence[int]) -> CaptionRows:
        """ROWS rows for each caption."""
        return CaptionRows.of([self._rows] * len(captions), [self._rows[0]] * len(captions), TEXT_DIM)


class ScansInMemory:
    """Simulated scans with labels, as `PairedScans` gives them. A fifth of the points has a text."""

    def __init__(self, case: Case) -> None:
        self.num_classes = CLASSES[case.preset]
        self.text_table = TextsInMemory(_SCANS)
        clouds = scans_of(case.preset, _SCANS, case.turns)
        self._scans = [self._paired(number, points.numpy(), case) for number, points in enumerate(clouds)]

    @property
    def split(self) -> LabelledSplit:
        """Half of the scans are labelled."""
        names = tuple(map(str, range(_SCANS)))
        return LabelledSplit("nested", 50.0, 0, names[: _SCANS // 2], names[_SCANS // 2 :])

    def read(self, scan_id: str) -> PairedScan:
        return self._scans[int(scan_id)]

    def _paired(self, number: int, points: np.ndarray, case: Case) -> PairedScan:
        rng, count = np.random.default_rng(number), len(points)
        has_text = rng.random(count) < 0.2
        image = np.where(has_text, 0, NONE).astype(np.int16)[:, None]
        entity = np.where(has_text, rng.integers(0, PHRASES, count), NONE).astype(np.int16)
        texts = self.text_table
        pairs = PointTextPairs(image, entity, (texts.image_ids[number],), texts.phrases)
        features = rng.random((count, FEATURES[case.preset] - 3)).astype(np.float32)
        labels = rng.integers(0, self.num_classes, count).astype(np.uint8)
        return PairedScan(str(number), points, features, labels, pairs)


def measure_waiting(report: Report, case: Case, device: torch.device, steps: int, longest: float) -> None:
    """One row: a batch built in this process, its size, and the waits of steps with workers.

    Scans lie in memory: reading one from a shard takes a few milliseconds more.
    """
    scans, config = ScansInMemory(case), case.config
    on_gpu = device.type == "cuda"
    given = (scans, scans.split, config.data, 0, config.net.levels, steps)
    batches = StepBatches(*given, for_gpu=on_gpu)  # type: ignore[arg-type]
    first = batches[0]
    building = [_seconds_of_item(batches, number) for number in range(1, 3)]
    trainer = Trainer(case, device)
    trainer.warm_up()
    workers = max(1, min(_MOST_WORKERS, (os.cpu_count() or 2) - 1))
    taken, waited = _steps(trainer, batches, workers, on_gpu, longest)
    report.add(
        "loader",
        **case.names(),
        workers=workers,
        **{"one batch in one process, s": median(building), "MB sent": bytes_of(first) / 1e6},
        steps=len(taken),
        **{
            "s/step": sum(taken) / len(taken),
            "waiting": sum(waited) / sum(taken),
            "longest wait, s": max(waited),
        },
    )


def _seconds_of_item(batches: StepBatches, number: int) -> float:
    started = time.perf_counter()
    batches[number]
    return time.perf_counter() - started


def _steps(
    trainer: Trainer, batches: StepBatches, workers: int, pinned: bool, longest: float
) -> tuple[list[float], list[float]]:
    """Seconds of each step, and what it waited for its batch, without the steps in which workers start."""
    taken: list[float] = []
    waited: list[float] = []
    begun = started = time.perf_counter()
    for batch in batch_loader(batches, 0, workers, pinned):
        waited.append(time.perf_counter() - started)
        trainer.step(batch)
        taken.append(time.perf_counter() - started)
        started = time.perf_counter()
        if started - begun > longest and len(taken) > 4:
            break
    left_out = min(len(taken) // 2, workers + 1)
    return taken[left_out:], waited[left_out:]
