"""The demo's question in words, and the scan that it is asked of."""

from __future__ import annotations

import numpy as np

from lass3d_core.words.lexicon import Lexicon
from train.runs.run import Run

_ENOUGH_POINTS = 100
SPLIT = "val"
"""Its images have captions, so the page can show the words beside the points."""


def scan_to_ask(run: Run, text: str) -> str:
    """The first validation scan that shows what `text` names, by its labels; else the first one."""
    scan_ids = run.pairs.splits[SPLIT]
    named = Lexicon(run.pairs.header.class_names, run.synonyms).classes_of(text)
    for scan_id in run.pairs.labelled_scans(SPLIT):
        labels = run.pairs.read(scan_id).labels
        if labels is not None and np.isin(labels, list(named)).sum() >= _ENOUGH_POINTS:
            return scan_id
    return scan_ids[0]
