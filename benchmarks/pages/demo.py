"""The figures of `make demo` as a CSV file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from lass3d_core.errors import MissingArtifact
from lass3d_core.files.json_files import read_json
from train.evaluate import Metrics

COLUMNS = ("row", "seed", "steps", "val", "test", "val_official", "test_official", "run")


def demo_csv(listed: Path) -> str:
    """A line per run of demo.json, which `make demo` leaves in runs/street/: mIoU in per cent.

    val, test: absent classes dropped. Raises MissingArtifact, CorruptArtifact.
    """
    if not listed.is_file():
        raise MissingArtifact(f'{listed} does not exist; run "make demo"')
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for title, folder in read_json(listed).items():
        run = listed.parent / folder
        val, test = (Metrics.load(run / f"metrics-{split}.json") for split in ("val", "test"))
        dropped = [one.miou_absent_dropped for one in (val, test)]
        official = [one.miou_official for one in (val, test)]
        figures = ["" if one is None else f"{100 * one:.6g}" for one in (*dropped, *official)]
        writer.writerow([title, test.seed, test.steps, *figures, test.run_digest[:12]])
    return f"# make demo && python benchmarks/fill_pages.py --demo {listed}\n{text.getvalue()}"
