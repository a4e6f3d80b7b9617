"""`python -m preprocess`: what each of its commands does."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lass3d_core.errors import ManifestError, exit_status
from lass3d_core.files.lock import only_one
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.program import CommandLine, command_line, percent, seed, whole_number
from lass3d_core.words.questions import questions
from preprocess.audit.audit import audit
from preprocess.audit.preview import first_images, preview
from preprocess.clean import clean
from preprocess.doctor.doctor import doctor
from preprocess.doctor.finding import as_lines, is_healthy
from preprocess.doctor.packages import packages, python
from preprocess.lvm import check_lvm
from preprocess.lvm.fetch_weights import fetch_weights
from preprocess.project import Project
from preprocess.simulation import simulate
from preprocess.stages.plan import STAGES
from preprocess.stages.query_texts import embed
from preprocess.stages.run import run_stage, warn_of_stand_ins
from preprocess.status import status

CAPTIONS = tuple(name for name, stage in STAGES.items() if stage.command == "captions")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    command, _ = COMMANDS[chosen.command]

    def run() -> int | None:
        manifest, name = read_manifest(chosen.manifest, chosen.dataset, check_lvm)
        return command(Project(manifest, name), chosen)

    return exit_status(run)


def _parser() -> CommandLine:
    parser = command_line("lass3d-preprocess", "preprocess", "images and scans -> shards")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        for option, settings in (OF_ALL | OPTIONS.get(name, {})).items():
            command.add_argument(option, **settings)
    return parser


def _simulate(project: Project, chosen: argparse.Namespace) -> None:
    if project.spec.simulate is None:
        why = f"data set {project.name!r} is not simulated; choose one that has `simulate` in the manifest"
        raise ManifestError(why)
    with only_one(project.folder):
        print(f"{project.spec.simulate.world}: {simulate(project.spec, project.manifest.workers)}")


def _captions(project: Project, chosen: argparse.Namespace) -> None:
    with only_one(project.folder):
        _ensure_data(project)
        warn_of_stand_ins(project, (chosen.only,) if chosen.only else CAPTIONS)
        if chosen.limit is not None:
            print(first_images(project, chosen.limit, chosen.only))
            return
        for name in (chosen.only,) if chosen.only else CAPTIONS:
            run_stage(project, name)


def _pairs(project: Project, chosen: argparse.Namespace) -> None:
    with only_one(project.folder):
        _ensure_data(project)
        run_stage(project, "pairs")


def _status(project: Project, chosen: argparse.Namespace) -> None:
    print(status(project))


def _audit(project: Project, chosen: argparse.Namespace) -> None:
    print(audit(project, chosen.ratio, chosen.seed))


def _doctor(project: Project, chosen: argparse.Namespace) -> int:
    findings = [python(), *packages(), *doctor(project)]
    print(as_lines(findings))
    return 0 if is_healthy(findings) else 2


def _weights(project: Project, chosen: argparse.Namespace) -> None:
    print(fetch_weights(project.manifest, chosen.mirror, chosen.into))


def _preview(project: Project, chosen: argparse.Namespace) -> None:
    warn_of_stand_ins(project, CAPTIONS)
    print(preview(project, chosen.image))


def _embed(project: Project, chosen: argparse.Namespace) -> None:
    with only_one(project.folder):
        asked = [questions(project.spec.reader).first] if chosen.demo else []
        print(embed(project, [*chosen.text, *asked], chosen.classes))


def _clean(project: Project, chosen: argparse.Namespace) -> None:
    with only_one(project.folder):
        print(clean(project, chosen.run, chosen.stale))


def _ensure_data(project: Project) -> None:
    """Write the simulated world if it is absent, or was made with other settings."""
    if project.spec.simulate is not None:
        report = simulate(project.spec, project.manifest.workers)
        if report.written:
            print(f"{project.spec.simulate.world}: {report}", flush=True)


COMMANDS: dict[str, tuple[Callable[[Project, argparse.Namespace], int | None], str]] = {
    "simulate": (_simulate, "write the simulated world of the data set: street or room"),
    "captions": (_captions, "make image captions, entities and text embeddings"),
    "pairs": (_pairs, "project points into pixels and write the point-text shards"),
    "status": (_status, "say of every stage whether it is fresh, missing, partial, or stale and why"),
    "audit": (_audit, "check coverage, words against labels, and calibration; draw overlay pictures"),
    "doctor": (_doctor, "check that everything is there that the manifest names"),
    "weights": (_weights, "download the weights that the manifest names"),
    "preview": (_preview, "show caption, phrases and masks of one image, as a picture and as text"),
    "clean": (_clean, "ask, then delete artifacts and runs of the data set"),
    "embed": (_embed, "encode texts to query a trained network with, by the encoder of the text table"),
}
"""Name -> what it does, and its help."""

OF_ALL: dict[str, dict[str, Any]] = {
    "--manifest": {"type": Path, "default": "data_manifest.yaml", "help": "default: %(default)s"},
    "--dataset": {"help": "a key of `datasets` in the manifest; default: the manifest's `default`"},
}
"""The options of every command."""

OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "captions": {
        "--only": {"choices": CAPTIONS, "metavar": "STAGE", "help": f"one of {', '.join(CAPTIONS)}"},
        "--limit": {"type": whole_number(1), "metavar": "N", "help": "only print the first N images"},
    },
    "audit": {
        "--ratio": {"type": percent, "default": 1, "help": "labelled scans in percent; default: 1"},
        "--seed": {"type": seed, "default": 0, "help": "seed that chooses the labelled scans; default: 0"},
    },
    "weights": {
        "--mirror": {"type": Path, "help": "take them from this copied hub cache"},
        "--into": {"type": Path, "help": "also write plain files to this folder"},
    },
    "clean": {
        "--run": {"type": Path, "help": "delete this run alone"},
        "--stale": {"action": "store_true", "help": "delete stale artifacts alone"},
    },
    "preview": {"image": {"type": Path, "help": "an image file"}},
    "embed": {
        "--text": {"action": "append", "default": [], "help": "a text; may be repeated"},
        "--classes": {"action": "store_true", "help": "also the name of every class"},
        "--demo": {"action": "store_true", "help": "also what the demo asks"},
    },
}
"""Command -> its own options."""
