"""python -m train: run, profile, eval, demo, report, export, clouds, query, table."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from lass3d_core.compute import parallel
from lass3d_core.datasets import open_dataset
from lass3d_core.errors import DataError, ManifestError, UnknownName, exit_status
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.manifest.schema import Manifest
from lass3d_core.settings import nearest
from train import demo as compare
from train.config import RunConfig, SavedRun, with_settings
from train.data.paired_scans import PairedScans
from train.evaluate import metrics_table
from train.outputs import query_command
from train.outputs.clouds import chosen_scans, write_clouds
from train.outputs.export import export
from train.presets import PAPER, PRESETS, preset_for
from train.runs.processes import process_group
from train.runs.profile import profile_steps
from train.runs.run import Run, train_run
from train.runs.run_folder import RunFolder
from train.tables.command import make_table, parse_numbers, planned, seeds_of
from train.tables.every import table_called
from train.tables.plan import Recipe, default_ratios, default_split

MANIFEST = Path("data_manifest.yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    options = parser().parse_args(arguments)
    return exit_status(lambda: _run(options), options.after_interrupt)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m train",
        description="Train and evaluate networks on pair shards.",
    )
    top.set_defaults(after_interrupt="run the same command again")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="train a run and evaluate it")
    run.set_defaults(
        command=run_command, after_interrupt="the same command with --resume (make: RESUME=1) resumes the run"
    )
    _add_choice(run)
    run.add_argument("--resume", action="store_true", help="continue an unfinished run")
    evaluate = commands.add_parser("eval", help="point-level mIoU of a run")
    evaluate.set_defaults(command=eval_command)
    _add_choice(evaluate)
    evaluate.add_argument("--split", choices=("val", "test"), default="val")
    profile = commands.add_parser("profile", help="time of each part of a training step; writes nothing")
    profile.set_defaults(command=profile_command)
    _add_choice(profile)
    profile.add_argument("--steps", type=int, default=10, metavar="N", help="steps to measure (10)")
    report = commands.add_parser("report", help="write the HTML page of a run")
    report.set_defaults(command=report_command)
    _add_choice(report)
    _add_export(commands.add_parser("export", help="write predictions in the format of the benchmark"))
    _add_clouds(commands.add_parser("clouds", help="write PLY files of truth, prediction, error and text"))
    _add_query(commands.add_parser("query", help="find the points of a scan that match a text"))
    demo = commands.add_parser("demo", help="train and compare supervised, LASS3D without text and LASS3D")
    demo.set_defaults(command=demo_command)
    _add_data(demo, ratio=2.0)
    _add_tag(demo)
    demo.add_argument("--processes", type=int, default=2, metavar="N", help="runs at a time (2)")
    _add_table(commands.add_parser("table", help="train the runs of a table and write the table"))
    return top


def _add_export(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command=export_command)
    _add_choice(command)
    _add_files(command, "export")


def _add_clouds(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command=clouds_command)
    _add_choice(command)
    _add_files(command, "clouds")
    command.add_argument("--scans", nargs="+", metavar="SCAN", help="scans to write, such as 08/000000")
    command.add_argument("--limit", type=int, metavar="N", help="number of scans, evenly spread (5)")


def _add_query(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command=lambda options: print(query_command.run_query(_existing(options), options)))
    _add_choice(command)
    query_command.add_flags(command)


def _add_table(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command=table_command)
    _add_manifest(command)
    command.add_argument(
        "--table", default="1", metavar="NAME", help="1 to 7, fig7; ours: plus, plus-parts (1)"
    )
    command.add_argument("--seeds", default="0,1,2", metavar="N,N,...", help="seeds of every row (0,1,2)")
    command.add_argument(
        "--ratios",
        metavar="PERCENT,...",
        help="shares of labelled scans (as fits the data set)",
    )
    command.add_argument("--split", help="split of the figures (test of a simulated world, val of real data)")
    _add_recipe(command)
    command.add_argument("--processes", type=int, metavar="N", help="runs at a time (one per GPU or core)")
    command.add_argument("--plan", action="store_true", help="only print the runs and the expected time")


def _add_files(command: argparse.ArgumentParser, what: str) -> None:
    """Flags that choose scans and an output folder."""
    command.add_argument("--split", default="val", metavar="SPLIT", help="train, val or test (val)")
    command.add_argument(
        "--into", type=Path, metavar="FOLDER", help=f"output folder ({what}-SPLIT in the run's folder)"
    )


def _add_data(command: argparse.ArgumentParser, ratio: float) -> None:
    """Flags that choose the data, the share of labels, and the seed."""
    _add_manifest(command)
    command.add_argument(
        "--ratio",
        type=float,
        default=ratio,
        metavar="PERCENT",
        help=f"share of the training scans with labels ({ratio:g})",
    )
    command.add_argument("--seed", type=int, default=0, help="of weights, batches and labelled scans (0)")
    command.add_argument(
        "--threads", type=int, default=1, help="of the CPU; more than 1 only on an idle machine (1)"
    )


def _add_manifest(command: argparse.ArgumentParser) -> None:
    command.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE", help=f"({MANIFEST})")
    command.add_argument("--dataset", metavar="NAME", help="a data set of the manifest (its default)")


def _add_choice(command: argparse.ArgumentParser) -> None:
    """Flags that name a run."""
    _add_data(command, ratio=1.0)
    command.add_argument(
        "--method", default="lass3d", metavar="NAME", help="supervised, mean_teacher, ... (lass3d)"
    )
    _add_recipe(command)


def _add_recipe(command: argparse.ArgumentParser) -> None:
    """Flags that several runs may share."""
    known = ", ".join((*PRESETS, PAPER))
    command.add_argument("--preset", metavar="NAME", help=f"{known} (the one that fits the data set)")
    _add_tag(command)
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting, such as method.tau_r=0.8",
    )


def _add_tag(command: argparse.ArgumentParser) -> None:
    command.add_argument("--tag", metavar="NAME", help="ends the run folder's name, for other settings")


def run_command(options: argparse.Namespace) -> None:
    """Train, evaluate, and print the figures and the folder."""
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    config = _config(options, manifest, dataset)
    with process_group():
        run = _run_of(config, options, manifest, dataset)
        trained = train_run(run, options.resume)
        if parallel.rank() > 0:
            return
        for split in run.splits:
            print(metrics_table(run.evaluated(split)))
        print(f"{'wrote' if trained else 'nothing to do, trained before:'} {run.folder.path}")


def eval_command(options: argparse.Namespace) -> None:
    """Evaluate a trained run again, from its last checkpoint."""
    run = _existing(options)
    metrics = run.metrics(run.trained_method(), options.split)
    metrics.save(run.folder.metrics(options.split))
    print(metrics_table(metrics))
    print(f"wrote {run.folder.metrics(options.split)}")


def profile_command(options: argparse.Namespace) -> None:
    """Take some steps of a run without saving it, and print where the time went."""
    if options.steps < 1:
        raise ManifestError(f"--steps must be at least 1, got {options.steps}")
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    run = _run_of(_config(options, manifest, dataset), options, manifest, dataset)
    print(profile_steps(run, options.steps))


def report_command(options: argparse.Namespace) -> None:
    """Write the page of a finished run."""
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    print(f"wrote {_write_page(_existing(options), manifest, dataset)}")


def export_command(options: argparse.Namespace) -> None:
    """Write the predictions of a finished run in the format of the data set's benchmark."""
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    run, spec = _existing(options), manifest.datasets[dataset]
    folder = options.into or run.folder.export(_split(options, run))
    print(export(run, spec, options.split, folder))


def clouds_command(options: argparse.Namespace) -> None:
    """Write coloured clouds of some scans with the predictions of a finished run."""
    run = _existing(options)
    folder = options.into or run.folder.clouds(_split(options, run))
    scan_ids = chosen_scans(run, options.split, options.scans, options.limit)
    written = write_clouds(run, scan_ids, folder)
    print(f"wrote {len(written)} clouds of {len(scan_ids)} scans to {folder}")


def demo_command(options: argparse.Namespace) -> None:
    """Train the runs of the demo, compare them, and write the page."""
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    runs = compare.demo(manifest, dataset, options.ratio, options.seed, options.processes, options.tag)
    print(f"wrote {_write_page(list(runs.values())[-1], manifest, dataset)}")


def table_command(options: argparse.Namespace) -> None:
    """Train the missing runs of a table and write it, or only print the plan."""
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    spec, wanted = manifest.datasets[dataset], table_called(options.table)
    recipe = Recipe(
        manifest,
        dataset,
        seeds_of(options.seeds),
        parse_numbers(options.ratios, "--ratios") if options.ratios else default_ratios(spec),
        options.split or default_split(spec),
        options.preset,
        tuple(options.set),
        options.tag,
        None if options.manifest == MANIFEST else str(options.manifest),
    )
    if options.plan:
        print(planned(wanted, recipe, options.processes))
    else:
        make_table(wanted, recipe, options.processes)


def _write_page(run: Run, manifest: Manifest, dataset: str) -> Path:
    from train.report.page import write_report

    dataset_on_disk = open_dataset(manifest.datasets[dataset], manifest.artifacts_of(dataset))
    return write_report(run.folder.path, run.pairs.folder, dataset=dataset_on_disk)


def _run(options: argparse.Namespace) -> int | None:
    threads = options.threads if "threads" in options else 1
    if threads < 1:
        raise ManifestError(f"--threads must be at least 1, got {threads}")
    if "seed" in options and options.seed < 0:
        raise ManifestError(f"--seed must not be negative, got {options.seed}")
    if "ratio" in options and not math.isfinite(options.ratio):
        raise DataError(f"--ratio must lie in (0, 100], got {options.ratio}")
    torch.set_num_threads(threads)
    status: int | None = options.command(options)
    return status


def _config(options: argparse.Namespace, manifest: Manifest, dataset: str) -> RunConfig:
    preset = preset_for(options.preset, manifest.datasets[dataset])
    return with_settings(preset(dataset, options.method, options.ratio, options.seed), options.set)


def _run_of(config: RunConfig, options: argparse.Namespace, manifest: Manifest, dataset: str) -> Run:
    folder = RunFolder.of(manifest.runs, config, options.tag)
    pairs = PairedScans.open(manifest.artifacts_of(dataset))
    return Run.of(config, pairs, manifest.datasets[dataset], folder, default_device())


def _existing(options: argparse.Namespace) -> Run:
    """The run that the options name, with the settings of its training.

    Raises MissingArtifact, and StaleArtifact if the data or a --set differ from the run's.
    """
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    wanted = _config(options, manifest, dataset)
    folder = RunFolder.of(manifest.runs, wanted, options.tag)
    saved = SavedRun.load(folder.config)
    run = _run_of(wanted if options.set else saved.config, options, manifest, dataset)
    folder.require_same(run.saved)
    return run


def _split(options: argparse.Namespace, run: Run) -> str:
    """The split that the options name. Raises UnknownName."""
    known = run.pairs.splits
    if options.split not in known:
        raise UnknownName(
            f"--split: there is no split {options.split!r} (known: {', '.join(known)})"
            f"{nearest(options.split, known)}"
        )
    return options.split


def default_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


if __name__ == "__main__":
    sys.exit(main())
