"""The stages that grow with a data set, each measured in a separate process."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from lass3d_core import nets
from lass3d_core.files.splits import spread
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.manifest.schema import LabelledSpec, SimulateSpec, SplitSpec
from lass3d_core.nets import UNetConfig
from lass3d_core.nets.segmenter import Segmenter, make_classifier
from preprocess.lvm import check_lvm
from preprocess.project import Project
from preprocess.simulation.street.writer import write_street
from preprocess.stages import image_captions
from preprocess.stages.jsonl_shards import read_jsonl, write_jsonl
from preprocess.stages.plan import STAGES as MAKERS
from preprocess.stages.run import run_stage
from preprocess.status import status
from train.config import DataConfig
from train.data.batches import StepBatches, batch_loader
from train.data.evaluation_batches import evaluation_batches
from train.data.evaluation_scans import EvaluationScans
from train.data.paired_scans import PairedScans
from train.evaluate import confusions
from train.report.artifacts import pictured_images

_NET = UNetConfig(stem=4, encoder=(6, 6), decoder=(6, 6), blocks=1)
_DATA = DataConfig(voxel_m=0.5, workers=0)
_LABELLED_PERCENT = 50
_PICTURES = 6


@dataclass(frozen=True)
class Taken:
    """What one stage took.

    seconds: processor time without the imports. peak_bytes: of memory, with the imports.
    start_bytes: of memory, after the imports. written_bytes: growth of the project's folder.
    """

    seconds: float
    peak_bytes: int
    start_bytes: int
    written_bytes: int


def measured(stage: str, manifest: Path, scans: int) -> Taken:
    """Run the stage in a separate process."""
    # Forked, so that nothing is imported again.
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=_measure, args=(theirs, stage, manifest, scans))
    process.start()
    theirs.close()
    try:
        taken: Taken = ours.recv()
    except EOFError:
        raise RuntimeError(f"{stage} of {manifest} failed; its traceback stands above") from None
    finally:
        process.join()
    return taken


def warm_up(manifest: Path) -> None:
    """Import what the stages import when they run, because their processes are forked from this one."""
    project = _project(manifest)
    for name in ("image_captions", "entities", "text_embeddings"):
        MAKERS[name].load(project)
    torch.ones(2).sum()


def _street(manifest: Path, scans: int) -> None:
    """The simulator itself, on a separate tree."""
    spec = SimulateSpec(train=scans - 2, val=1, test=1)
    write_street(manifest.parent / "street", spec, SplitSpec(("0",), ("1",), ("2",)), workers=1)


def _stage(stage: str) -> Callable[[Path, int], None]:
    return lambda manifest, scans: run_stage(_project(manifest), stage)


def _distinct_captions(manifest: Path, scans: int) -> None:
    """Give every image a distinct caption of 25 words, as real images have; here the images repeat."""
    for path in sorted((_project(manifest).folder / image_captions.NAME).glob("*.jsonl")):
        header, images, _ = read_jsonl(path)
        for image in images:
            words = hashlib.sha256(image["image_id"].encode()).hexdigest()
            image["text"] = " ".join(words[start : start + 2] + "x" for start in range(0, 50, 2))
        write_jsonl(path, header.record, images, image_captions.digests(images))


def _status(manifest: Path, scans: int) -> None:
    status(_project(manifest))


def _open(manifest: Path, scans: int) -> None:
    _batches(_pairs(manifest))


def _epoch(manifest: Path, scans: int) -> None:
    for _ in batch_loader(_batches(_pairs(manifest)), 0, workers=0):
        pass


def _evaluate(manifest: Path, scans: int) -> None:
    pairs = _pairs(manifest)
    predictor = Segmenter(
        nets.make_backbone(_NET, pairs.in_channels),
        torch.nn.Identity(),
        make_classifier(6, pairs.num_classes),
    )
    every = EvaluationScans(pairs, pairs.labelled_scans("train"), _DATA, _levels())
    cpu = torch.device("cpu")
    confusions(predictor, evaluation_batches(every, cpu, workers=0), pairs.num_classes, cpu)


def _report(manifest: Path, scans: int) -> None:
    """What a report reads of the captions and entities for its pictures."""
    pairs = _pairs(manifest)
    pictured_images(pairs, spread(pairs.splits["train"], _PICTURES), _project(manifest).dataset)


STAGES: dict[str, Callable[[Path, int], None]] = {
    "street": _street,
    "image_captions": _stage("image_captions"),
    "distinct captions": _distinct_captions,
    "entities": _stage("entities"),
    "text_embeddings": _stage("text_embeddings"),
    "pairs": _stage("pairs"),
    "pairs, fresh": _stage("pairs"),
    "status": _status,
    "open": _open,
    "loader, one epoch": _epoch,
    "evaluation": _evaluate,
    "report's pictures": _report,
}
"""In the order of running. Each but the first reads what the earlier ones wrote."""


def _project(manifest: Path) -> Project:
    return Project(*read_manifest(manifest, None, check_lvm))


def _pairs(manifest: Path) -> PairedScans:
    return PairedScans.open(_project(manifest).folder)


def _batches(pairs: PairedScans) -> StepBatches:
    """One epoch: every scan is drawn once, half of them with labels."""
    split = pairs.labelled_split(LabelledSpec(), _LABELLED_PERCENT, seed=0)
    steps = len(split.unlabelled) // _DATA.unlabelled_scans
    return StepBatches(pairs, split, _DATA, 0, _levels(), steps)


def _levels() -> int:
    return len(_NET.encoder) + 1


def _peak_bytes() -> int:
    """Peak memory of this process since its fork. ru_maxrss would count the parent's too."""
    status_lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in status_lines if line.startswith("VmHWM"))


def _size_of(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file())


def _measure(result: Connection, stage: str, manifest: Path, scans: int) -> None:
    torch.set_num_threads(1)
    before, start_bytes = _size_of(manifest.parent), _peak_bytes()
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nothing,
        redirect_stdout(nothing),
        redirect_stderr(nothing),
    ):
        started = time.process_time()
        STAGES[stage](manifest, scans)
        seconds = time.process_time() - started
    peak_bytes = _peak_bytes()
    result.send(Taken(seconds, peak_bytes, start_bytes, _size_of(manifest.parent) - before))
