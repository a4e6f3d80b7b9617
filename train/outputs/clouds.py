"""Point clouds for CloudCompare, Open3D or MeshLab: one coloured PLY file per scan and thing to look at.

SCAN-truth.ply and SCAN-error.ply (of scans with labels), SCAN-prediction.ply, SCAN-entities.ply and
SCAN-images.ply. The comments in a file's header say what its colours are. Letters: N points of a scan.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lass3d_core.clouds.ply import write_ply
from lass3d_core.errors import DataError, UnknownName
from lass3d_core.files.shards import ShardHeader
from lass3d_core.labels import IGNORE
from lass3d_core.records import NONE, PairedScan
from lass3d_core.typed import nearest
from train.data.evaluation_scans import scan_loader
from train.evaluate import predictions, with_progress
from train.report.artifacts import spread
from train.runs.run import Run

Colour = tuple[int, int, int]

GREY: Colour = (128, 128, 128)
"""Of points without a class, an entity or an image."""

RIGHT: Colour = (150, 170, 190)
WRONG: Colour = (225, 35, 25)

SOME_SCANS = 5
"""How many scans are written when neither scans nor a limit are given; a whole split is large."""


@dataclass(frozen=True)
class ColouredCloud:
    """How one file shows the points of a scan.

    name: of the file, after the scan. colours (N,3) uint8. scalars: name -> (N,), for viewers to filter by.
    meaning: lines that say what the colours are.
    """

    name: str
    colours: np.ndarray
    scalars: Mapping[str, np.ndarray]
    meaning: Sequence[str]


def write_clouds(run: Run, scan_ids: Sequence[str], folder: Path) -> list[Path]:
    """Write the clouds of these scans, with the predictions of the trained run; the files, in order.

    Raises MissingArtifact (the run is not trained), CorruptArtifact, StorageError.
    """
    predictor = run.trained_method().predictor
    colour_of = phrase_colours(run.pairs.text_table.phrases)
    scans = scan_loader(run.whole_scans_of(scan_ids), run.config.data.workers)
    written = []
    for whole, prediction in predictions(
        predictor, with_progress(scans, len(scan_ids), "clouds"), run.device
    ):
        scan = run.pairs.read(whole.scan_id)
        for cloud in clouds_of(scan, prediction, run.pairs.header, colour_of):
            path = folder / f"{scan.scan_id.replace('/', '_')}-{cloud.name}.ply"
            comments = (f"scan {scan.scan_id}: {cloud.name}", *cloud.meaning)
            write_ply(path, scan.points, cloud.colours, cloud.scalars, comments)
            written.append(path)
    return written


def chosen_scans(run: Run, split: str, named: Sequence[str] | None, limit: int | None) -> Sequence[str]:
    """The scans of `split` that are named, or `limit` of them, evenly spread.

    Raises DataError where the split has none or the limit is below 1, UnknownName for a scan that it has not.
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
    """Everything that is shown of `scan`, whose predicted train ids are `prediction` (N,) uint8.

    colour_of: that of every phrase. Without labels there is neither truth nor error.
    """
    table = np.full((256, 3), GREY, np.uint8)
    table[: len(header.colours)] = header.colours
    classes = [f"{_words(rgb)} {name}" for name, rgb in zip(header.class_names, header.colours)]
    classes.append(f"{_words(GREY)} no class")
    if scan.labels is not None:
        scalars = {"label": scan.labels, "prediction": prediction}
        yield ColouredCloud("truth", table[scan.labels], {"label": scan.labels}, classes)
        yield ColouredCloud("error", _error_colours(scan.labels, prediction), scalars, _ERROR_MEANING)
    yield ColouredCloud("prediction", table[prediction], {"prediction": prediction}, classes)
    pairs = scan.pairs
    phrases = [colour_of[phrase] for phrase in pairs.phrases]
    yield _by_slot("entities", "entity", pairs.entity, pairs.phrases, phrases)
    views = distinct_colours(len(pairs.image_ids))
    yield _by_slot("images", "image", pairs.image[:, 0], pairs.image_ids, views)


_ERROR_MEANING = (
    f"{'{} {} {}'.format(*WRONG)} wrong",
    f"{'{} {} {}'.format(*RIGHT)} right",
    f"{'{} {} {}'.format(*GREY)} without a true class",
)


def _error_colours(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    colours = np.where((truth == prediction)[:, None], np.uint8(RIGHT), np.uint8(WRONG))
    colours[truth == IGNORE] = GREY
    return colours


def _by_slot(
    name: str, scalar: str, slots: np.ndarray, texts: Sequence[str], colours: Sequence[Colour]
) -> ColouredCloud:
    """Points in the colour of their slot (N,) int16, grey where they have NONE; the texts that occur."""
    table = np.array([*colours, GREY], np.uint8)
    assert NONE == -1, "the last row is that of NONE"
    occur = [slot for slot in np.unique(slots).tolist() if slot != NONE]
    meaning = [f"{_words(GREY)} none", *(f"{_words(colours[slot])} {slot} = {texts[slot]}" for slot in occur)]
    return ColouredCloud(name, table[slots], {scalar: slots}, meaning)


def phrase_colours(phrases: Sequence[str]) -> dict[str, Colour]:
    """A colour for every phrase of a data set, the same in all of its scans and runs."""
    return dict(zip(phrases, distinct_colours(len(phrases))))


def distinct_colours(count: int) -> list[Colour]:
    """`count` colours, none grey: hues a golden angle apart, blue first, so that a few neighbours differ."""
    shades = ((0.85, 0.95), (0.6, 0.75), (1.0, 0.7), (0.45, 1.0))
    return [
        _rgb((0.6 + 0.6180339887498949 * index) % 1, *shades[index // 8 % len(shades)])
        for index in range(count)
    ]


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def _words(colour: Colour) -> str:
    return "{} {} {}".format(*colour)
