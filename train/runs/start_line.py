"""The line that a run prints before its first step: how much of its data has labels and text."""

from __future__ import annotations

from train.runs.run import Run


def start_line(run: Run) -> str:
    """How many training scans are labelled and, if the method reads text, how many have some."""
    scans = len(run.pairs.splits["train"])
    line = f"{run.folder.path.name}: labels for {len(run.split.labelled)} of {scans} training scans"
    if not run.config.method.reads_text:
        return line
    with_text = len(run.pairs.scans_with_text)
    if not with_text:
        return f"{line}; no scan has text, so {run.config.method_name} learns from points and labels alone"
    return f"{line}; text for {with_text} of {scans} training scans"
