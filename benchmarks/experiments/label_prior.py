"""What the phrases add to a trained teacher, without training: teacher against teacher times phrase.

    python benchmarks/experiments/label_prior.py --manifest data_manifest.yaml --seed 0

Needs the finished run supervised-demo-r<ratio>-s<seed> of the manifest, and captions of the split val
(`caption_splits`). For each form of the prior, and for phrases made wrong on purpose, it prints:

- the two checks of the method: the estimated share of right phrases, on held-out labelled scans and where the
  teacher is sure. They use no label of the validation scans;
- the truth: mIoU over the points with a phrase, of the teacher, of the product that trusts every phrase, and
  of the product that trusts phrases as far as the second check says.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
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
from train.methods.lass3d_plus import Lass3dPlusConfig
from train.methods.parts.label_prior import (
    LabelPriorConfig,
    PhraseCounts,
    log_ratio,
    posterior,
    said,
    scene_votes,
)
from train.methods.parts.phrase_trust import UnlabelledTrust, believed, held_out_trust
from train.methods.parts.votes import PhraseVotes
from train.runs.run import Run
from train.runs.run_folder import RunFolder

CONFIDENCE = 0.8
TEMPERATURE = Lass3dPlusConfig().temperature
FORMS = {
    "default": (LabelPriorConfig(), TEMPERATURE),
    "teacher not tempered": (LabelPriorConfig(), 1.0),
    "teacher tempered more, 3": (LabelPriorConfig(), 3.0),
    "without class names": (LabelPriorConfig(names=False), TEMPERATURE),
    "and no similar phrases": (LabelPriorConfig(names=False, similar=0), TEMPERATURE),
    "names alone": (LabelPriorConfig(language=1000), TEMPERATURE),
    "names doubted less, 0.1": (LabelPriorConfig(doubt=0.1), TEMPERATURE),
}
WRONG = {f"{share:.0%} of the phrases random": share for share in (0.3, 0.5, 0.6, 0.8, 1.0)}


@dataclass(frozen=True)
class Seen:
    """A scan as the teacher sees it.

    belief (N,C). phrase (N,) int64: row of the text table, -1 for none. labels (N,) uint8.
    """

    belief: Tensor
    phrase: Tensor
    labels: np.ndarray


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
    print(f"{'':38} held out  sure points  teacher  believed all  as far as right")
    for name, (form, temperature) in FORMS.items():
        report(name, phrases, scans, form, temperature)
    report("P counted on these scans", counted_here(phrases, scans), scans, LabelPriorConfig(), TEMPERATURE)
    rng = np.random.default_rng(0)
    for name, share in WRONG.items():
        wrong = [Seen(s.belief, misnamed(s.phrase, share, len(phrases.rows), rng), s.labels) for s in scans]
        report(f"{name}, here alone", phrases, wrong, LabelPriorConfig(), TEMPERATURE)


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
        scans.append(Seen(belief, torch.from_numpy(rows[scan.pairs.entity]), whole.labels))
    return scans


def counted_here(phrases: PhraseCounts, scans: list[Seen]) -> PhraseCounts:
    """Counts from the labels of these very scans: the upper bound of any prior by phrase."""
    counts = torch.zeros_like(phrases.counts[:1])
    for scan in scans:
        known = (scan.phrase != NONE) & torch.from_numpy(scan.labels != IGNORE)
        cell = scan.phrase[known] * counts.shape[2] + torch.from_numpy(scan.labels.astype(np.int64))[known]
        counts += torch.bincount(cell, minlength=counts.numel()).view_as(counts)
    return phrases._replace(counts=counts, scenes=1000 * scene_votes(counts[0]).unsqueeze(0))


def misnamed(phrase: Tensor, share: float, phrases: int, rng: np.random.Generator) -> Tensor:
    """Replace each phrase of a scan, on all its points, by a random one with probability `share`."""
    instead = np.where(rng.random(phrases) < share, rng.integers(phrases, size=phrases), np.arange(phrases))
    return torch.from_numpy(np.append(instead, NONE))[phrase]


def report(
    name: str, phrases: PhraseCounts, scans: list[Seen], form: LabelPriorConfig, temperature: float
) -> None:
    """Print one line of the table."""
    evidence = log_ratio(phrases, form)
    unlabelled = UnlabelledTrust(evidence.shape[1], horizon=1e9)
    for scan in scans:
        votes = PhraseVotes.certain(scan.phrase)
        one_group = torch.zeros_like(scan.phrase)
        unlabelled.update(scan.belief, said(evidence, votes), votes.is_named, one_group, CONFIDENCE)
    weighed = believed(evidence, unlabelled.trust)
    figures = [
        100 * mean_iou(np.sum([confusion(scan, *prior, temperature) for scan in scans], axis=0), "dropped")
        for prior in ((evidence, 0.0), (evidence, 1.0), (weighed, 1.0))
    ]
    print(
        f"{name:38} {held_out_trust(phrases, form):8.2f}  {unlabelled.trust:11.2f}"
        f"  {figures[0]:7.1f}  {figures[1]:12.1f}  {figures[2]:15.1f}",
        flush=True,
    )


def confusion(scan: Seen, evidence: Tensor, strength: float, temperature: float) -> np.ndarray:
    """The confusion matrix (C,C) over the points with a phrase."""
    paired = scan.phrase != NONE
    votes = PhraseVotes.certain(scan.phrase[paired])
    of_points = said(evidence, votes)
    belief = posterior(scan.belief[paired], of_points, votes.is_named, strength, temperature)
    return confusion_matrix(scan.labels[paired.numpy()], belief.argmax(dim=1).numpy(), evidence.shape[1])


if __name__ == "__main__":
    main()
