"""The flags of `python -m train`. A command is a name here; commands.py maps it to a function."""

from __future__ import annotations

import argparse
from pathlib import Path

from lass3d_core.program import CommandLine, command_line, percent, seed, whole_number
from train.outputs import query_command, suggest_command, view_command
from train.presets import PAPER, PRESETS
from train.trackers import PACKAGES

MANIFEST = Path("data_manifest.yaml")

count = whole_number(1)
processes = whole_number(1, 1024)


def parser() -> CommandLine:
    """The command line."""
    top = command_line("lass3d-train", "train", "Train and evaluate networks on pair shards.")
    top.set_defaults(after_interrupt="run the same command again")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="train a run and evaluate it"))
    evaluate = commands.add_parser("eval", help="point-level mIoU of a run")
    evaluate.set_defaults(command="eval")
    _add_finished(evaluate)
    evaluate.add_argument("--split", choices=("val", "test"), default="val")
    _add_passes(evaluate)
    model = commands.add_parser("model", help="write the model file of a run")
    model.set_defaults(command="model")
    _add_finished(model)
    model.add_argument("--into", type=Path, metavar="FILE", help="(model.safetensors in the run's folder)")
    runs = commands.add_parser("runs", help="list what was trained")
    runs.set_defaults(command="runs")
    _add_manifest(runs)
    side_by_side = commands.add_parser("compare", help="one page that compares runs")
    side_by_side.set_defaults(command="compare")
    _add_manifest(side_by_side)
    side_by_side.add_argument("runs", nargs="+", type=Path, metavar="FOLDER", help="folders of runs")
    side_by_side.add_argument("--into", type=Path, metavar="FILE", help="the page (compare.html)")
    profile = commands.add_parser("profile", help="time of each part of a training step; writes nothing")
    profile.set_defaults(command="profile")
    _add_choice(profile)
    profile.add_argument("--steps", type=count, default=10, metavar="N", help="steps to measure (10)")
    report = commands.add_parser("report", help="write the HTML page of a run")
    report.set_defaults(command="report")
    _add_finished(report)
    _add_export(commands.add_parser("export", help="write predictions in the format of the benchmark"))
    _add_clouds(commands.add_parser("clouds", help="write PLY files of truth, prediction, error and text"))
    _add_view(commands.add_parser("view", help="write a Rerun recording of a sequence"))
    _add_query(commands.add_parser("query", help="find the points of a scan that match a text"))
    _add_suggest(commands.add_parser("suggest", help="name the scans to label next, and say why"))
    demo = commands.add_parser("demo", help="compare three methods on the same scans, and ask a question")
    demo.set_defaults(command="demo")
    _add_data(demo, ratio=None)
    _add_tag(demo)
    demo.add_argument("--processes", type=processes, default=2, metavar="N", help="runs at a time (2)")
    _add_table(commands.add_parser("table", help="train the runs of a table and write the table"))
    return top


def _add_run(command: argparse.ArgumentParser) -> None:
    command.set_defaults(
        command="run", after_interrupt="the same command with --resume (make: RESUME=1) resumes the run"
    )
    _add_choice(command)
    command.add_argument("--resume", action="store_true", help="continue an unfinished run")
    command.add_argument(
        "--processes", type=processes, default=1, metavar="N", help="that share every batch, one per GPU (1)"
    )
    command.add_argument(
        "--log",
        action="append",
        default=[],
        choices=tuple(PACKAGES),
        help="where the figures go besides the run's folder; may be given several times",
    )
    _add_yes(command)


def _add_export(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="export")
    _add_finished(command)
    _add_files(command, "export")
    _add_passes(command)


def _add_clouds(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="clouds")
    _add_finished(command)
    _add_files(command, "clouds")
    command.add_argument("--scans", nargs="+", metavar="SCAN", help="scans to write, such as 08/000000")
    command.add_argument("--limit", type=count, metavar="N", help="number of scans, evenly spread (5)")


def _add_view(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="view")
    _add_finished(command)
    view_command.add_flags(command)


def _add_query(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="query")
    _add_finished(command)
    query_command.add_flags(command)


def _add_suggest(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="suggest")
    _add_finished(command)
    suggest_command.add_flags(command)


def _add_table(command: argparse.ArgumentParser) -> None:
    command.set_defaults(command="table")
    _add_manifest(command)
    command.add_argument(
        "--table",
        default="1",
        metavar="NAME",
        help="1 to 7, fig7; ours: plus, plus-parts, ratio, real (1)",
    )
    command.add_argument("--seeds", default="0,1,2", metavar="N,N,...", help="seeds of every row (0,1,2)")
    command.add_argument(
        "--ratios",
        metavar="PERCENT,...",
        help="shares of labelled scans (as fits the data set)",
    )
    command.add_argument("--split", help="split of the figures (test of a simulated world, val of real data)")
    _add_recipe(command)
    command.add_argument(
        "--processes", type=processes, metavar="N", help="runs at a time (one per GPU or core)"
    )
    command.add_argument(
        "--figures",
        type=Path,
        metavar="FOLDER",
        help="recorded figures: a run recorded there is not trained, and the table is written there, too",
    )
    command.add_argument("--plan", action="store_true", help="only print the runs and the expected time")
    _add_yes(command)


def _add_yes(command: argparse.ArgumentParser) -> None:
    command.add_argument("--yes", action="store_true", help="train a recipe of many steps on a CPU")


def _add_passes(command: argparse.ArgumentParser) -> None:
    command.add_argument("--tta", type=count, default=1, metavar="N", help="passes, turned and mirrored (1)")


def _add_files(command: argparse.ArgumentParser, what: str) -> None:
    """Flags that choose scans and an output folder."""
    command.add_argument("--split", default="val", metavar="SPLIT", help="train, val or test (val)")
    command.add_argument(
        "--into", type=Path, metavar="FOLDER", help=f"output folder ({what}-SPLIT in the run's folder)"
    )


def _add_data(command: argparse.ArgumentParser, ratio: float | None) -> None:
    """Flags that choose the data, the share of labels, and the seed. ratio: None: the data set chooses it."""
    _add_manifest(command)
    command.add_argument(
        "--ratio",
        type=percent,
        default=ratio,
        metavar="PERCENT",
        help=f"share of the training scans with labels ({'2; rooms 5' if ratio is None else f'{ratio:g}'})",
    )
    command.add_argument("--seed", type=seed, default=0, help="of weights, batches and labelled scans (0)")
    command.add_argument(
        "--threads",
        type=count,
        default=1,
        help="of the CPU; more than 1 only on an idle machine (1)",
    )


def _add_manifest(command: argparse.ArgumentParser) -> None:
    command.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE", help=f"({MANIFEST})")
    command.add_argument("--dataset", metavar="NAME", help="a data set of the manifest (its default)")


def _add_finished(command: argparse.ArgumentParser) -> None:
    """Flags that name a finished run: by its folder, or by what it was trained with."""
    command.add_argument(
        "--run", type=Path, metavar="FOLDER", help="the run's folder, in place of its choice"
    )
    _add_choice(command)


def _add_choice(command: argparse.ArgumentParser) -> None:
    """Flags that choose what a run is trained with."""
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
