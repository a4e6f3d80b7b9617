"""`python -m train suggest`: its flags, and the files that it writes.

suggest/ in the run's folder: suggest.csv, labelled.txt (a list for the manifest), index.html.
"""

from __future__ import annotations

import csv
import io
from argparse import ArgumentParser, Namespace
from pathlib import Path

from lass3d_core.files.atomic import write_text
from lass3d_core.files.names import shortened
from lass3d_core.program import whole_number
from train.outputs.suggest import Suggestion, Suggestions, suggest
from train.report.suggest import write_suggest_page
from train.report.words import counted
from train.runs.run import Run

COLUMNS = (
    "rank", "scan", "score", "uncertainty", "disagreement", "variety", "nearest", "unsure_at", "why",
)  # fmt: skip
NOTABLE = 1.05
"""A figure this many times the average is a reason."""


def add_flags(command: ArgumentParser) -> None:
    """Add the flags of the command."""
    command.add_argument(
        "--count", type=whole_number(1), default=10, metavar="N", help="scans to suggest (10)"
    )
    command.add_argument(
        "--into", type=Path, metavar="FOLDER", help="output folder (suggest in the run's folder)"
    )


def run_suggest(run: Run, options: Namespace) -> str:
    """Choose the scans and write the files. Returns what to print: a line per scan, and what to do next.

    Raises DataError, MissingArtifact, CorruptArtifact, StorageError.
    """
    found, folder = suggest(run, options.count), options.into or run.folder.suggest
    reasons = {one.figures.scan_id: why(one, found) for one in found.scans}
    lines = [f"{one.rank:>4}  {one.figures.scan_id}  {reasons[one.figures.scan_id]}" for one in found.scans]
    if options.count > found.unlabelled:
        every = counted(found.unlabelled, "unlabelled scan")
        lines.append(f"there are no more than {every}; {options.count} were asked for")
    write_text(folder / "suggest.csv", as_csv(found, reasons))
    write_text(folder / "labelled.txt", "".join(f"{scan_id}\n" for scan_id in labelled_list(found)))
    then = next_step(found, folder / "labelled.txt", options.manifest)
    write_suggest_page(folder / "index.html", found, reasons, run, then)
    return "\n".join((*lines, f"next: {then}", f"wrote {folder / 'index.html'}"))


def why(one: Suggestion, found: Suggestions) -> str:
    """Why a scan was chosen, in words, the strongest reason first."""
    unsure, unsteady, unlike = one.pick.relative
    kind = "labelled" if one.nearest in found.labelled else "suggested"
    changed = f"{100 * one.figures.disagreement:.1f} % of its points change class if it is turned"
    phrases = (
        (unsure, f"unsure, mostly at {one.unsure_at} ({unsure:.1f} times the average)"),
        (unsteady, f"{changed} ({unsteady:.1f} times the average)"),
        (unlike, f"far from {one.nearest}, the nearest {kind} scan ({unlike:.1f} times the average)"),
    )
    said = [words for times, words in sorted(phrases, reverse=True) if times >= NOTABLE]
    return "; ".join(said) or "no figure is above the average"


def as_csv(found: Suggestions, reasons: dict[str, str]) -> str:
    """The scans as a table, one a line, under COLUMNS."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in found.scans:
        figures = (one.pick.score, one.figures.uncertainty, one.figures.disagreement, one.pick.variety)
        scan_id = one.figures.scan_id
        writer.writerow(
            (one.rank, scan_id, *(f"{x:.6g}" for x in figures), one.nearest, one.unsure_at, reasons[scan_id])
        )
    return text.getvalue()


def labelled_list(found: Suggestions) -> tuple[str, ...]:
    """The scans of the next training: those that the run learnt, then the suggested ones."""
    return (*found.labelled, *(one.figures.scan_id for one in found.scans))


def next_step(found: Suggestions, listed: Path, manifest: Path) -> str:
    """What to do next. listed: the file labelled.txt, which is named as `manifest` must name it."""
    path = shortened(listed.absolute(), manifest.absolute().parent)
    share = f"{100 * len(labelled_list(found)) / (len(found.labelled) + found.unlabelled):.3g}"
    return (
        f'label these scans and run "make pairs"; then train with RATIO={share} and, for the data set in '
        f"the manifest, labelled: {{protocol: lists, lists: {{'{share}': {path}}}}}"
    )
