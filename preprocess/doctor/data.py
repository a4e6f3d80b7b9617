"""The data set: its files are counted, and one scan of each sequence is opened with all that is its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from lass3d_core.compute.shared_memory import shortage
from lass3d_core.datasets import Block, Dataset
from lass3d_core.datasets.places import IMAGES, LABELS
from lass3d_core.datasets.plausible import at_origin, require_plausible
from lass3d_core.errors import Lass3dError
from lass3d_core.files.images import image_size
from lass3d_core.files.splits import spread
from lass3d_core.geometry.projection import pixels_in_image, project
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.records import Scan
from preprocess.doctor.finding import Finding
from preprocess.project import SPLITS, Project
from preprocess.status import plural

OPENED = 30
"""At most so many sequences or scenes of a split are opened, evenly spread: the doctor answers in seconds."""

SCANS_OF_A_BATCH, WORKERS = 4, 4
"""Of the presets for real data. The doctor does not know the run, so it takes these."""

# Of a batch in voxels of 5 cm: 34 MB for a scan of 124 668 points. A GPU makes its own maps: 8.5 MB.
_BYTES_PER_POINT, _BYTES_PER_POINT_FOR_GPU = 275, 70
_NAMED = 3
_FEW_IN_IMAGES = 0.005  # of a scan's points: less is a wrong calibration rather than a narrow camera
_MANY_AT_ORIGIN = 0.01  # of a scan's points


@dataclass
class _Looked:
    """What was seen of one split."""

    scans: int = 0
    with_labels: int = 0  # scans with a file of labels
    images: int = 0
    missing: list[str] = field(default_factory=list)  # images
    problems: Counter[str] = field(default_factory=Counter)
    opened: list[Scan] = field(default_factory=list)
    sequences: int = 0

    @property
    def labelled(self) -> list[np.ndarray]:
        return [scan.labels for scan in self.opened if scan.labels is not None]


def data(project: Project) -> Iterator[Finding]:
    """What is there, split by split, and what is wrong with it."""
    what, spec = f"data set {project.name}", project.spec
    if spec.simulate is not None and not spec.root.is_dir():
        yield Finding("ok", what, f"simulated; make captions writes it to {spec.root}")
        return
    try:
        dataset, blocks = project.dataset, project.blocks
        features = ", ".join(dataset.feature_names) or "none besides x, y and z"
        looked_at = {split: _look(dataset, spec, _scans(blocks, split)) for split in SPLITS}
    except Lass3dError as error:
        yield Finding("FIX", what, str(error))
        return
    classes = len(dataset.label_space.names)
    yield Finding("ok", what, f"{spec.reader} in {spec.root}; {classes} classes; features: {features}")
    for split, looked in looked_at.items():
        if looked.scans:
            yield from _findings(spec.reader, split, looked)
    yield _shared_memory([scan for looked in looked_at.values() for scan in looked.opened])


def _scans(blocks: Sequence[Block], split: str) -> list[str]:
    return [scan_id for block in blocks if block.split == split for scan_id in block.scan_ids]


def _look(dataset: Dataset, spec: DatasetSpec, scan_ids: Sequence[str]) -> _Looked:
    looked = _Looked()
    first_of: dict[str, str] = {}
    for scan_id in scan_ids:
        _count(dataset, scan_id, looked)
        first_of.setdefault(scan_id.split("/")[0], scan_id)
    looked.sequences = len(first_of)
    for scan_id in spread(list(first_of.values()), OPENED):
        _open(dataset, spec, scan_id, looked)
    return looked


def _count(dataset: Dataset, scan_id: str, looked: _Looked) -> None:
    """Count the scan's files; no file is opened."""
    files = dataset.input_files(scan_id)
    looked.scans += 1
    looked.with_labels += files.labels is not None
    looked.images += len(files.images)
    looked.missing += [str(part.path) for part in files.images if not part.path.exists()]
    for path in (part.path for part in files.points if not part.path.exists()):
        looked.problems[f"{path} {'is a link to nothing' if path.is_symlink() else 'does not exist'}"] += 1


def _open(dataset: Dataset, spec: DatasetSpec, scan_id: str, looked: _Looked) -> None:
    """Read one scan with labels, cameras and the headers of its images."""
    for image in (one.image for one in dataset.images(scan_id) if one.image.path.exists()):
        try:
            image_size(image)
        except Lass3dError as error:
            looked.problems[str(error)] += 1
    try:
        scan = dataset.read_scan(scan_id)
        where = str(dataset.input_files(scan_id).points[0])
        require_plausible(scan, dataset.feature_names, spec, where)
        looked.opened.append(scan)
    except Lass3dError as error:
        looked.problems[str(error)] += 1


def _findings(reader: str, split: str, looked: _Looked) -> Iterator[Finding]:
    there = plural(looked.images - len(looked.missing), "image")
    yield Finding(
        "ok",
        split,
        f"{plural(looked.scans, 'scan')}, {looked.with_labels} with a label file, {there}; opened a scan of "
        f"{len(looked.opened)} of {plural(looked.sequences, 'sequence')}",
    )
    problems = list(looked.problems)
    more = len(problems) - _NAMED
    for problem in problems[:_NAMED]:
        yield Finding("FIX", split, problem)
    if more > 0:
        yield Finding("FIX", split, f"and {plural(more, 'problem')} more of this kind")
    if looked.missing:
        yield Finding("FIX", split, _missing_images(looked))
    yield from (Finding("FIX", split, detail) for detail in _surely_wrong(looked))
    yield from (Finding("note", split, detail) for detail in _worth_knowing(reader, split, looked))


def _missing_images(looked: _Looked) -> str:
    names, more = ", ".join(looked.missing[:_NAMED]), len(looked.missing) - _NAMED
    rest = f" and {more} more" if more > 0 else ""
    return f"{plural(len(looked.missing), 'image')} missing: {names}{rest}; restore them"


def _surely_wrong(looked: _Looked) -> Iterator[str]:
    if looked.labelled and all((labels == IGNORE).all() for labels in looked.labelled):
        yield "every label is ignored; mend `classes` or the label files"
    seen = [_share_in_images(scan) for scan in looked.opened if scan.views]
    if seen and max(seen) < _FEW_IN_IMAGES:
        yield (
            f"at most {max(seen):.1%} of a scan's points fall into its images; is the calibration's "
            "transform the inverse of what is asked for, or the image of another camera?"
        )


def _worth_knowing(reader: str, split: str, looked: _Looked) -> Iterator[str]:
    if not looked.images:
        yield f"no scan has an image, so none has a text; images are looked for in {IMAGES[reader]}"
    if split != "test" and looked.opened and not (looked.labelled or looked.with_labels):
        needs = "training needs some" if split == "train" else "nothing is evaluated"
        yield f"no scan has labels, and {needs}; they are looked for in {LABELS[reader]}"
    zeros = [at_origin(scan.points) / max(1, len(scan.points)) for scan in looked.opened]
    if zeros and max(zeros) > _MANY_AT_ORIGIN:
        yield f"up to {max(zeros):.0%} of a scan's points lie at the origin: pulses without an echo"


def _shared_memory(opened: Sequence[Scan]) -> Finding:
    """Whether the batches of a preset for real data fit through shared memory."""
    import torch

    of_point = _BYTES_PER_POINT_FOR_GPU if torch.cuda.is_available() else _BYTES_PER_POINT
    batch = SCANS_OF_A_BATCH * of_point * max((len(scan.points) for scan in opened), default=0)
    problem = shortage(batch, WORKERS)
    if problem is not None:
        return Finding("FIX", "shared memory", problem)
    return Finding("ok", "shared memory", f"enough for {WORKERS} workers of data.workers")


def _share_in_images(scan: Scan) -> float:
    """The share of the points that fall into any image, hidden or not."""
    inside = np.zeros(len(scan.points), bool)
    for view in scan.views:
        inside[pixels_in_image(*project(view.camera, scan.points), view.camera.size_hw)[0]] = True
    return float(inside.mean())
