"""What the phrases add to a trained teacher, without training: teacher against teacher times phrase.

    python benchmarks/experiments/label_prior.py --manifest data_manifest.yaml --seed 0

Needs the finished run supervised-demo-r2-s<seed> of the manifest, and captions of the split val
(`caption_splits`). For each form of the prior, and for phrases made wrong on purpose, it prints:

- the checks of the method: the estimated share of right phrases, on held-out labelled scans, by regions, and
  where the teacher is sure; and the measured temperature. They use no label of the validation scans;
- the truth: mIoU over the points with a phrase, of the teacher, of the product that trusts every phrase, and
  of the product that trusts phrases as far as the last two checks say.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lass3d_core.labels import IGNORE
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.paper.metrics import confusion_matrix, mean_iou
from lass3d_core.records import NONE
from train.config import SavedRun
from train.data.paired_scans import PairedScans
from train.data.phrase_counts import phrase_counts
from train.data.text_batches import TextRowsOf
from train.methods.parts.label_prior import (
    LabelPriorConfig,
    PhraseCounts,
    log_ratio,
    meaning_of,
    posterior,
    said,
    scene_votes,
)
from train.methods.parts.phrase_trust import UnlabelledTrust, believed, held_out_trust
from train.methods.parts.regions import RegionTrust
from train.methods.parts.votes import PhraseVotes
from train.runs.run import Run
from train.runs.run_folder import RunFolder

CONFIDENCE = 0.8
PASSES = 5
"""Over the scans, until the regions are judged."""

FORMS: dict[str, tuple[LabelPriorConfig, float | None]] = {
    "default": (LabelPriorConfig(), None),
    "teacher not tempered": (LabelPriorConfig(), 1.0),
    "T = 2": (LabelPriorConfig(), 2.0),
    "without class names": (LabelPriorConfig(names=False), None),
    "and no borrowing": (LabelPriorConfig(names=False, min_cosine=1), None),
    "three votes for the language": (LabelPriorConfig(language=3), None),
    "names alone": (LabelPriorConfig(language=1e6), None),
}
"""Name -> the form of the prior, and the teacher's temperature beside a phrase; None: measured."""

WRONG = {f"{share:.0%} of the phrases random": share for share in (0.3, 0.5, 0.6, 0.8, 1.0)}


@dataclass(frozen=True)
class Seen:
    """A scan as the teacher sees it.

    belief (N,C). phrase (N,) int64: row of the text table, -1 for none. labels (N,) uint8.
    coords (N,4) int: of each point's voxel.
    """

    belief: Tensor
    phrase: Tensor
    labels: np.ndarray
    coords: Tensor


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--manifest", type=Path, default=Path("data_manifest.yaml"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ratio", type=float, default=2.0, help="percent of the scans with labels (2)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = teacher_run(options.manifest, options.ratio, options.seed)
    scans = seen_by_teacher(run)
    phrases = phrase_counts(run.pairs, run.split.labelled, run.synonyms)
    print(
        f"{len(scans)} validation scans; labelled: {', '.join(run.split.labelled)}; {run.saved.digest[:12]}"
    )
    print(f"{'':32} held out  regions  sure points    T  teacher  believed all  as far as right")
    for name, (form, temperature) in FORMS.items():
        report(name, phrases, scans, form, temperature)
    report(
        "P counted on these scans", counted_here(phrases, scans), scans, LabelPriorConfig(language=0), None
    )
    rng = np.random.default_rng(0)
    for name, share in WRONG.items():
        wrong = [replace(scan, phrase=misnamed(scan.phrase, share, len(phrases.rows), rng)) for scan in scans]
        report(f"{name}, here alone", phrases, wrong, LabelPriorConfig(), None)


def teacher_run(manifest_path: Path, ratio: float, seed: int) -> Run:
    """The finished supervised run of the default data set."""
    manifest, _ = read_manifest(manifest_path)
    folder = RunFolder(manifest.runs / manifest.default / f"supervised-demo-r{ratio:g}-s{seed}")
    saved = SavedRun.load(folder.config)
    pairs = PairedScans.open(manifest.artifacts_of(manifest.default))
    return Run.of(saved.config, pairs, manifest.datasets[manifest.default], folder, torch.device("cpu"))


def seen_by_teacher(run: Run) -> list[Seen]:
    """The teacher's belief on the whole validation scans."""
    predictor = run.trained_method().predictor.eval()
    rows_of = TextRowsOf(run.pairs.text_table)
    scans = []
    for scan_id in run.pairs.labelled_scans("val"):
        whole, scan = run.whole_scan(scan_id), run.pairs.read(scan_id)
        with torch.no_grad():
            belief = predictor(whole.features, whole.pyramid).softmax(dim=1)[whole.inverse]
        rows = np.append(rows_of.phrase_rows(scan.pairs.phrases), NONE)
        phrase = torch.from_numpy(rows[scan.pairs.entity])
        scans.append(Seen(belief, phrase, whole.labels, whole.pyramid.coords[0][whole.inverse]))
    return scans


def counted_here(phrases: PhraseCounts, scans: list[Seen]) -> PhraseCounts:
    """Counts from the labels of these very scans: the upper bound of any prior by phrase."""
    of_scans = []
    for scan in scans:
        known = (scan.phrase != NONE) & torch.from_numpy(scan.labels != IGNORE)
        counts = torch.zeros(phrases.counts.shape[1:])
        cell = scan.phrase[known] * counts.shape[1] + torch.from_numpy(scan.labels.astype(np.int64))[known]
        of_scans.append(torch.bincount(cell, minlength=counts.numel()).view_as(counts).float())
    votes = [scene_votes(one) for one in of_scans]
    return phrases._replace(counts=sum(of_scans)[None], scenes=sum(votes)[None])


def misnamed(phrase: Tensor, share: float, phrases: int, rng: np.random.Generator) -> Tensor:
    """Replace each phrase of a scan, on all its points, by a random one with probability `share`."""
    instead = np.where(rng.random(phrases) < share, rng.integers(phrases, size=phrases), np.arange(phrases))
    return torch.from_numpy(np.append(instead, NONE))[phrase]


def report(
    name: str, phrases: PhraseCounts, scans: list[Seen], form: LabelPriorConfig, temperature: float | None
) -> None:
    """Print one line of the table."""
    evidence, meaning = log_ratio(phrases, form), meaning_of(phrases, form)
    classes = evidence.shape[1]
    unlabelled, regions = UnlabelledTrust(classes, 1e9), RegionTrust(classes, len(scans), temperature)
    for _ in range(PASSES):
        told = [regions(one.belief, meaning, PhraseVotes.certain(one.phrase), one.coords) for one in scans]
    judged, right = told[-1], [one.right for one in told]
    for scan, by_region in zip(scans, right):
        votes = PhraseVotes.certain(scan.phrase)
        counted, one_group = votes.is_named & (by_region >= 0.5), torch.zeros_like(scan.phrase)
        unlabelled.update(scan.belief, said(evidence, votes), counted, one_group, CONFIDENCE)
    found, trust = float(judged.temperature), unlabelled.trust

    def miou(trusts: list[Tensor], strength: float = 1.0) -> float:
        seen = [confusion(scan, evidence, one, strength, found) for scan, one in zip(scans, trusts)]
        return 100 * mean_iou(sum(seen), "dropped")

    whole = [torch.ones_like(one) for one in right]
    print(
        f"{name:32} {held_out_trust(phrases, form):8.2f}  {float(judged.share):7.2f}  {trust:11.2f}"
        f"  {found:3.1f}  {miou(whole, 0.0):7.1f}  {miou(whole):12.1f}"
        f"  {miou([trust * one for one in right]):15.1f}",
        flush=True,
    )


def confusion(scan: Seen, evidence: Tensor, trust: Tensor, strength: float, temperature: float) -> np.ndarray:
    """The confusion matrix (C,C) over the points with a phrase. trust (N,): in the phrase of each point."""
    paired = scan.phrase != NONE
    votes = PhraseVotes.certain(scan.phrase[paired])
    of_points = believed(said(evidence, votes), trust[paired, None])
    belief = posterior(scan.belief[paired], of_points, votes.is_named, strength, temperature)
    return confusion_matrix(scan.labels[paired.numpy()], belief.argmax(dim=1).numpy(), evidence.shape[1])


if __name__ == "__main__":
    main()
