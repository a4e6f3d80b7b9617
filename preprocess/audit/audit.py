"""`make audit`: what got text, does it agree with the labels, does the calibration fit, and pictures."""

from __future__ import annotations

import json

from lass3d_core.errors import DataError, StaleArtifact
from lass3d_core.files.atomic import write_text
from lass3d_core.files.coverage import Agreement, Coverage
from lass3d_core.files.shards import ShardReader, ShardsByScan
from lass3d_core.files.splits import LabelledSplit, labelled_split
from lass3d_core.records import NONE
from lass3d_core.words.lexicon import Lexicon
from preprocess.audit.bins import TruthByBins, without_distance
from preprocess.audit.calibration_check import check_calibration
from preprocess.audit.findings import Findings, Lacking, as_json, in_words
from preprocess.audit.pictures import write_pictures
from preprocess.audit.words import WordFindings, word_findings
from preprocess.project import SPLITS, Project
from preprocess.stages import pairs
from preprocess.stages.plan import STAGES, plan
from preprocess.status import state_of


def audit(project: Project, ratio: float, seed: int) -> str:
    """Audit the pairs. Returns the report in words; audit.json and pictures go to artifacts/<data set>/audit.

    Labels are read only for the training scans that keep them at `ratio` percent and `seed`.
    Raises StaleArtifact if the pairs are not up to date, MissingArtifact, DataError.
    """
    planned = plan(project, STAGES[pairs.NAME])
    if not planned.fresh:
        raise StaleArtifact(f"pairs: {state_of(planned)}; run `make captions pairs`")
    shards = _shards(project)
    labelled, remark = _labelled(project, shards, ratio, seed)
    known = labelled.labelled if labelled else ()
    counted = {split: _counted(project, shards, split) for split in SPLITS}
    found = Findings(
        dataset=project.name,
        coverage={split: coverage for split, (coverage, _) in counted.items()},
        lacking={split: lacking for split, (_, lacking) in counted.items()},
        skipped_frames=_skipped_frames(project),
        labelled=labelled,
        remark=remark,
        words=_words(project, shards, known) if known else None,
        calibration=check_calibration(project, lambda scan_id: shards[scan_id].read(scan_id, False).points),
        pictures=[path.name for path in write_pictures(project, shards, known)],
    )
    folder = project.folder / "audit"
    write_text(folder / "audit.json", json.dumps(as_json(found), indent=1) + "\n")
    written = f"audit.json and {len(found.pictures)} pictures written to {folder}"
    return "\n".join([*in_words(found), written])


def _shards(project: Project) -> ShardsByScan:
    shards = ShardsByScan()
    for block in project.blocks:
        shards.add(ShardReader(project.folder / pairs.NAME / f"{block.name}.h5"), block.scan_ids)
    return shards


def _labelled(
    project: Project, shards: ShardsByScan, ratio: float, seed: int
) -> tuple[LabelledSplit | None, str]:
    """Which training scans keep their labels; if none does, None and the reason."""
    train = project.dataset.scan_ids("train")
    without = {scan_id for scan_id in train if not shards[scan_id].has_labels(scan_id)}
    try:
        return labelled_split(project.spec.labelled, train, ratio, seed, without), ""
    except DataError as error:
        return None, f"the words are not compared with labels: {error}"


def _counted(project: Project, shards: ShardsByScan, split: str) -> tuple[Coverage, Lacking]:
    """Count points and scans of a split. No label is read."""
    coverage, images, labels = Coverage(), 0, 0
    scan_ids = project.dataset.scan_ids(split)
    for scan_id in scan_ids:
        shard = shards[scan_id]
        scan = shard.read(scan_id, with_labels=False)
        coverage.add(scan, shard.counts[scan_id])
        images += bool((scan.pairs.image != NONE).any())
        labels += shard.has_labels(scan_id)
    return coverage, Lacking(len(scan_ids), len(scan_ids) - images, len(scan_ids) - labels)


def _words(project: Project, shards: ShardsByScan, scan_ids: tuple[str, ...]) -> WordFindings:
    """Compare the words of labelled scans with their labels."""
    names = project.dataset.label_space.names
    lexicon = Lexicon(names, project.spec.classes.synonyms)
    agreement, truth = Agreement(names), TruthByBins(len(names), lexicon, without_distance(project.spec))
    for scan_id in scan_ids:
        scan = shards[scan_id].read(scan_id)
        agreement.add(scan)
        truth.add(scan)
    return word_findings(project, lexicon, agreement, truth.tables())


def _skipped_frames(project: Project) -> dict[str, int]:
    """Split -> frames without a known pose, which the reader left out; empty if it does not count them."""
    skipped_in, dataset = getattr(project.dataset, "skipped_frames", None), project.dataset
    return {split: sum(map(skipped_in, dataset.scan_ids(split))) for split in SPLITS} if skipped_in else {}
