"""`python -m train demo`, from the first run to the page."""

from __future__ import annotations

import argparse

from lass3d_core.datasets import open_dataset
from lass3d_core.files.names import shortened
from lass3d_core.files.query_texts import query_rows
from lass3d_core.manifest.schema import Manifest
from lass3d_core.words.questions import questions
from train.data.paired_scans import PairedScans
from train.demo.comparison import comparison
from train.demo.next_commands import next_commands
from train.demo.page import write_demo_page
from train.demo.question import scan_to_ask
from train.demo.runs import demo, demo_ratio
from train.outputs.query import answer_query
from train.outputs.query_command import write_answer
from train.report.page import write_report


def run_demo(manifest: Manifest, dataset: str, options: argparse.Namespace) -> None:
    """Train the runs, print the comparison, ask the question, write the pages, and say what to type next.

    Raises MissingArtifact if the question is not encoded yet, before anything is trained.
    """
    spec, artifacts = manifest.datasets[dataset], manifest.artifacts_of(dataset)
    text, ratio = questions(spec.reader).first, options.ratio or demo_ratio(spec)
    query_rows(PairedScans.open(artifacts).folder, [text])
    runs = demo(manifest, dataset, ratio, options.seed, options.processes, options.tag)
    print(comparison(runs), flush=True)
    run = list(runs.values())[-1]
    answer = answer_query(run, text, scan_to_ask(run, text))
    on_disk = open_dataset(spec, artifacts)
    print(write_answer(answer, run, shortened(run.folder.queries), on_disk))
    report = write_report(run.folder.path, artifacts, dataset=on_disk, spec=spec)
    commands = next_commands(run, manifest, options.manifest, on_disk, answer.scan.scan_id)
    page = manifest.runs / dataset / "demo.html"
    write_demo_page(page, runs, answer, on_disk, commands)
    print(f"wrote {shortened(report)}", f"wrote {shortened(page)}: look at this first", sep="\n")
    print("next:", *(f"  {command}" for command in commands), sep="\n")
