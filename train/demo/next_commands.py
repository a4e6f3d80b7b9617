"""What to type after the demo. Every command works as it is printed, in the current folder."""

from __future__ import annotations

import shlex
from pathlib import Path

from lass3d_core.datasets import Dataset
from lass3d_core.files.names import shortened
from lass3d_core.manifest.schema import Manifest
from lass3d_core.words.questions import questions
from train.runs.run import Run


def next_commands(
    run: Run, manifest: Manifest, manifest_file: Path, dataset: Dataset, scan_id: str
) -> list[str]:
    """Commands on the run `run`. scan_id: the scan that the demo asked.

    They name the manifest and the data set where these are not the ones that make takes by itself.
    """
    name = run.config.dataset
    where = [] if manifest_file == Path("data_manifest.yaml") else [f"MANIFEST={_word(manifest_file)}"]
    of = [*where, *([] if name == manifest.default else [f"DATASET={_word(name)}"])]
    text = questions(manifest.datasets[name].reader).next
    folder, points = _word(run.folder.path), dataset.input_files(run.pairs.splits["test"][0]).points[0].path
    lines = [
        ["runs", *where],
        ["query", *of, f"RUN={folder}", f'TEXT="{text}"', f"SCAN={_word(scan_id)}"],
        ["predict", f"MODEL={_word(run.folder.model)}", f"INPUT={_word(points)}", "INTO=predicted"],
        ["eval", *of, f"RUN={folder}", "SPLIT=test", "TTA=8"],
    ]
    return [" ".join(("make", *words)) for words in lines]


def _word(value: Path | str) -> str:
    """A path relative to the current folder if it lies below it, or any text, as one word of the shell."""
    return shlex.quote(str(shortened(value) if isinstance(value, Path) else value))
