"""Point clouds for CloudCompare, Open3D or MeshLab: coloured PLY files of the scans and their predictions.

Per scan: SCAN-truth.ply and SCAN-error.ply (if it has labels), SCAN-prediction.ply, SCAN-entities.ply and
SCAN-images.ply. The comments in a file's header say what its colours are.

Letters: N points of a scan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.clouds.ply import write_ply
from lass3d_core.errors import DataError, UnknownName
from lass3d_core.files.shards import ShardHeader
from lass3d_core.files.splits import spread
from lass3d_core.records import NONE, PairedScan
from lass3d_core.settings import nearest
from train.data.evaluation_scans import scan_loader
from train.evaluate import predictions, with_progress
from train.outputs.colours import GREY, RIGHT, WRONG, Colour, class_colours, distinct_colours, error_colours
from train.report.words import counted
from train.runs.run import Run

SOME_SCANS = 5  # are written if neither scans nor a limit are given: a whole split is large


@dataclass(frozen=True)
class ColouredCloud:
    """How one file shows the points of a scan."""

    name: str  # what the file is called after the scan's id
    colours: np.ndarray  # (N,3) uint8
    scalars: Mapping[str, np.ndarray]  # name -> (N,), for viewers to filter by
    meaning: Sequence[str]  # lines that say what the colours are


def write_clouds(run: Run, scan_ids: Sequence[str], folder: Path) -> list[Path]:
    """Predict these scans with the trained run and write their clouds. Returns the files, in order.

    Raises MissingArtifact (the run is not trained), CorruptArtifact, StorageError.
    """
    predictor = run.trained_predictor()
    # One colour for each phrase of the data set, so that it is the same in all scans and runs.
    phrases = run.pairs.text_table.phrases
    colour_of = dict(zip(phrases, distinct_colours(len(phrases))))
    scans = scan_loader(run.whole_scans_of(scan_ids), run.config.data.workers)
    written = []
    ahead = with_progress(scans, len(scan_ids), "clouds")
    for whole, prediction in predictions(predictor, ahead, run.device):
        scan = run.pairs.read(whole.scan_id)
        for cloud in clouds_of(scan, prediction, run.pairs.header, colour_of):
            path = folder / f"{scan.scan_id.replace('/', '_')}-{cloud.name}.ply"
            comments = (f"scan {scan.scan_id}: {cloud.name}", *cloud.meaning)
            write_ply(path, scan.points, cloud.colours, cloud.scalars, comments)
            written.append(path)
    return written


def clouds_line(run: Run, split: str, scan_ids: Sequence[str], written: int, folder: Path) -> str:
    """What to print: how many scans of `split` were written, and how many of them have no truth."""
    scans = f"{len(scan_ids)} of {counted(len(run.pairs.splits[split]), 'scan')} of {split}"
    without = len(set(scan_ids) - set(run.pairs.labelled_scans(split)))
    have = "has" if without == 1 else "have"
    unlabelled = f" ({without} {have} no labels, so no truth and no error)" if without else ""
    return f"wrote {counted(written, 'cloud')} of {scans}{unlabelled} to {folder}"


def chosen_scans(run: Run, split: str, named: Sequence[str] | None, limit: int | None) -> Sequence[str]:
    """The named scans of `split`, or `limit` of its scans, evenly spread.

    Raises DataError (the split has no scans, the limit is below 1), UnknownName (no such scan in the split).
    """
    scan_ids = run.pairs.splits[split]
    if not scan_ids:
        raise DataError(f"the split {split} has no scans; choose another with --split (make: SPLIT=val)")
    for scan_id in named or ():
        if scan_id not in scan_ids:
            raise UnknownName(f"the split {split} has no scan {scan_id!r}{nearest(scan_id, scan_ids)}")
    if limit is not None and limit < 1:
        raise DataError(f"--limit must be at least 1, got {limit}")
    return named or spread(scan_ids, limit or SOME_SCANS)


def clouds_of(
    scan: PairedScan, prediction: np.ndarray, header: ShardHeader, colour_of: Mapping[str, Colour]
) -> Iterator[ColouredCloud]:
    """Yield the clouds of one scan; truth and error only if it has labels.

    prediction (N,): uint8 train ids. colour_of: the colour of every phrase.
    """
    table = class_colours(header.colours)
    classes = [f"{_words(rgb)} {name}" for name, rgb in zip(header.class_names, header.colours)]
    classes.append(f"{_words(GREY)} no class")
    if scan.labels is not None:
        yield ColouredCloud("truth", table[scan.labels], {"label": scan.labels}, classes)
        meaning = f"{_words(WRONG)} wrong", f"{_words(RIGHT)} right", f"{_words(GREY)} without a true class"
        scalars = {"label": scan.labels, "prediction": prediction}
        yield ColouredCloud("error", error_colours(scan.labels, prediction), scalars, meaning)
    yield ColouredCloud("prediction", table[prediction], {"prediction": prediction}, classes)
    pairs = scan.pairs
    phrases = [colour_of[phrase] for phrase in pairs.phrases]
    yield _by_slot("entities", "entity", pairs.entity, pairs.phrases, phrases)
    views = distinct_colours(len(pairs.image_ids))
    yield _by_slot("images", "image", pairs.image[:, 0], pairs.image_ids, views)


def _by_slot(
    name: str, scalar: str, slots: np.ndarray, texts: Sequence[str], colours: Sequence[Colour]
) -> ColouredCloud:
    """Colour each point by its slot (N,) int16, grey if it has none. Only texts that occur are explained."""
    # NONE is -1, so it takes the last row.
    table = np.array([*colours, GREY], np.uint8)
    occur = [slot for slot in np.unique(slots).tolist() if slot != NONE]
    meaning = [f"{_words(GREY)} none", *(f"{_words(colours[slot])} {slot} = {texts[slot]}" for slot in occur)]
    return ColouredCloud(name, table[slots], {scalar: slots}, meaning)


def _words(colour: Colour) -> str:
    return "{} {} {}".format(*colour)
