"""`python -m train view`: its flags, and the recording that it writes."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from pathlib import Path

from lass3d_core.datasets import Dataset
from lass3d_core.errors import BackendUnavailable
from lass3d_core.program import whole_number
from train.outputs.frames import MOST_FRAMES, chosen_sequence, frames_of
from train.report.words import counted
from train.runs.run import Run


def add_flags(command: ArgumentParser) -> None:
    """Add the flags of the command."""
    command.add_argument("--split", default="val", metavar="SPLIT", help="train, val or test (val)")
    command.add_argument("--sequence", metavar="NAME", help="such as 08, or a scene (the first of the split)")
    command.add_argument(
        "--limit", type=whole_number(1), metavar="N", help=f"frames, from the first on ({MOST_FRAMES})"
    )
    command.add_argument(
        "--into", type=Path, metavar="FILE", help="(view-SPLIT-SEQUENCE.rrd in the run's folder)"
    )


def require_package() -> None:
    """Raise BackendUnavailable unless Rerun is installed."""
    if find_spec("rerun") is None:
        raise BackendUnavailable("make view needs the package rerun-sdk: pip install rerun-sdk")


def run_view(run: Run, dataset: Dataset, split: str, options: Namespace) -> str:
    """Write the recording. Returns what to print.

    Raises DataError, UnknownName, MissingArtifact, CorruptArtifact, StorageError.
    """
    from train.outputs.recording import write_recording

    sequence = chosen_sequence(run, split, options.sequence, options.limit)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", sequence.name)
    path = options.into or run.folder.path / f"view-{split}-{name}.rrd"
    title = f"{run.folder.path.name}: {split} {sequence.name}"
    identity = f"{run.saved.digest[:16]}-{split}-{name}"
    phrases = run.pairs.text_table.phrases
    frames = frames_of(run, dataset, sequence)
    count = write_recording(path, frames, run.pairs.header, phrases, title, identity)
    of_all = f"{count} of {counted(sequence.in_all, 'frame')} of {split} {sequence.name}"
    return f"wrote {of_all} to {path}; `rerun {path}` shows it"
