from __future__ import annotations

import numpy as np
import torch

from train.config import DataConfig
from train.data.evaluation_scans import EvaluationScans, evaluation_scan, scan_loader
from train.data.paired_scans import PairedScans

CONFIG = DataConfig(voxel_m=0.3)


def test_a_whole_scan_has_every_point(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    scan = pairs.read(pairs.splits["val"][0])
    whole = evaluation_scan(scan, CONFIG, 3)
    assert len(whole.inverse) == len(whole.labels) == len(scan.points)
    cells = np.floor(scan.points.astype(np.float64) / 0.3).astype(int)
    assert (whole.pyramid.coords[0][whole.inverse][:, 1:].numpy() == cells).all()


def test_a_scan_for_a_gpu_is_the_same_where_it_is_used(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    scan = pairs.read(pairs.splits["val"][0])
    whole, bare = (evaluation_scan(scan, CONFIG, 3, for_gpu) for for_gpu in (False, True))
    assert bare.pyramid.submanifold == () and bare.pyramid.levels == 3
    built = bare.pyramid.to("cpu")
    assert [one.counts for one in built.submanifold] == [one.counts for one in whole.pyramid.submanifold]
    assert all(torch.equal(*both) for both in zip(built.coords, whole.pyramid.coords, strict=True))


def test_whole_scans_come_in_order_whatever_the_workers(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    scans = EvaluationScans(pairs, pairs.splits["train"], CONFIG, 3)
    alone, together = ([scan.scan_id for scan in scan_loader(scans, workers)] for workers in (0, 2))
    assert alone == together == list(pairs.splits["train"])
