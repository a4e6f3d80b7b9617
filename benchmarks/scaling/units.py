"""Measure what one scan of full size costs here, in processor time of one thread, for paper.py."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.pairing import simulated
from lass3d_core.files.fingerprint import Record
from lass3d_core.files.shards import ShardHeader, ShardReader, write_shard
from lass3d_core.manifest.schema import PairsSpec
from lass3d_core.records import PairedScan, Scan
from preprocess.stages.pairing import pair
from train.config import DataConfig
from train.data.augment import AugmentConfig, augmented
from train.data.evaluation_scans import evaluation_scan

POINTS = 120_000
_LEVELS = 5
_HEADER = ShardHeader(
    "units",
    "0",
    "train",
    ("a",),
    ((0, 0, 0),),
    (0,),
    ("remission",),
    Record(stage="pairs", schema=1, params={}, inputs={}, upstream={}),
    "benchmark",
)


def units(rounds: int = 3) -> str:
    """Measure the keys of `paper.Costs` that can be measured; one `--set` argument a line."""
    torch.set_num_threads(1)
    frame = simulated(POINTS)
    scan = paired(frame.scan, lambda: pair(frame.scan, frame.found, PairsSpec()))
    cameras = len(frame.scan.views)
    with tempfile.TemporaryDirectory(prefix="lass3d-units-") as folder:
        plain, compact = Path(folder) / "plain.h5", Path(folder) / "compact.h5"
        write_shard(compact, _HEADER, [scan], compact=True)
        values = {
            "cpu_pair_s_per_point": seconds(rounds, lambda: pair(frame.scan, frame.found, PairsSpec()))
            / (POINTS * cameras),
            "cpu_write_s_per_point": seconds(rounds, lambda: write_shard(plain, _HEADER, [scan])) / POINTS,
            "cpu_load_s_per_point": seconds(rounds, lambda: load(plain, scan.scan_id)) / POINTS,
            "shard_bytes_per_point": plain.stat().st_size / POINTS,
            "compact_share": compact.stat().st_size / plain.stat().st_size,
            "cpu_digest_gb_per_s": 0.1
            / seconds(rounds, lambda: hashlib.blake2b(bytes(10**8), digest_size=16)),
        }
    return "\n".join(f"costs.{key}={value:.3g}" for key, value in values.items())


def paired(scan: Scan, work: Callable[[], PairedScan]) -> PairedScan:
    """The paired scan with remissions and labels, as large as a real one. The labels are a hundred runs."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 19, 100), -(-len(scan.points) // 100))[: len(scan.points)]
    remission = rng.random((len(scan.points), 1), np.float32)
    return replace(work(), labels=labels.astype(np.uint8), features=remission)


def load(path: Path, scan_id: str) -> None:
    """Do what a loader's process does for a scan: read, augment, voxelise, build the kernel maps."""
    scan = ShardReader(path).read(scan_id)
    points = augmented(scan.points, AugmentConfig(), np.random.default_rng(0))
    evaluation_scan(replace(scan, points=points.astype(np.float32)), DataConfig(), _LEVELS)


def seconds(rounds: int, work: Callable[[], object]) -> float:
    """Processor time of `work`, the median of the rounds."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return median(taken)
