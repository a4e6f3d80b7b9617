"""How large the batches are that a loader's worker sends, with real frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lass3d_core.compute.packing import pack
from lass3d_core.manifest.schema import LabelledSpec, VoteSpec
from lass3d_core.records import PairedScan, PointVotes
from train.data.batches import StepBatches
from train.data.evaluation_scans import EvaluationScans
from train.data.loading import _bytes_sent
from train.data.paired_scans import PairedScans
from train.presets.published import semantickitti

pytestmark = pytest.mark.samples
MB = 1_000_000
PHRASES = VoteSpec().phrases
CONFIG = semantickitti("x", "lass3d", 1.0, 0)
SCANS = CONFIG.data.labelled_scans + CONFIG.data.unlabelled_scans


@pytest.fixture
def real(samples: Path, tiny: Any, rewrite_tiny: Callable[..., None]) -> PairedScans:
    """A project in which every scan is a real frame of SemanticKITTI. Every tenth point has a text."""
    frame = np.fromfile(samples / "semantickitti/sequences/00/velodyne/000000.bin", np.float32).reshape(-1, 4)
    has_text = np.arange(len(frame)) % 10 == 0

    def with_frame(scan: PairedScan) -> PairedScan:
        image = np.where(has_text, 0, -1).astype(np.int16)[:, None]
        entity = np.where(has_text, 1, -1).astype(np.int16)
        votes = PointVotes(
            phrase=np.stack([entity] * PHRASES, axis=1),
            share=np.stack([has_text] * PHRASES, axis=1).astype(np.uint8),
            score=has_text.astype(np.uint8),
            views=has_text.astype(np.uint8),
        )
        pairs = replace(scan.pairs, image=image, entity=entity, votes=votes)
        points, features = np.split(frame, [3], axis=1)
        labels = np.zeros(len(frame), np.uint8)
        return replace(scan, points=points.copy(), features=features.copy(), labels=labels, pairs=pairs)

    rewrite_tiny(tiny, change=with_frame)
    return PairedScans.open(tiny.artifacts)


def test_a_worker_sends_a_gpu_less_than_10_mb_for_a_real_scan(real: PairedScans) -> None:
    split = real.labelled_split(LabelledSpec(), 20.0, 0)
    batches = StepBatches(real, split, CONFIG.data, 0, CONFIG.net.levels, 1, for_gpu=True)
    sent = batches[0]
    assert SCANS * 5 * MB < _bytes_sent(sent) < SCANS * 10 * MB
    # The maps alone are several times as much.
    assert pack(sent.to(torch.device("cpu")).pyramid)[1].nbytes > SCANS * 15 * MB


def test_a_scan_for_evaluation_on_a_gpu_is_less_than_10_mb(real: PairedScans) -> None:
    scans = EvaluationScans(real, real.splits["val"], CONFIG.data, CONFIG.net.levels, for_gpu=True)
    assert _bytes_sent(scans[0]) < 10 * MB
