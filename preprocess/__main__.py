"""`python -m preprocess`: simulate, captions, pairs, status, audit, doctor, weights, preview, embed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lass3d_core.errors import ManifestError, exit_status
from lass3d_core.files.lock import only_one
from lass3d_core.manifest.reading import read_manifest
from preprocess.audit.audit import audit
from preprocess.audit.preview import first_images, preview
from preprocess.doctor import doctor
from preprocess.lvm import check_lvm
from preprocess.lvm.fetch_weights import fetch_weights
from preprocess.project import Project
from preprocess.simulation import SimulationReport, simulate
from preprocess.stages.plan import STAGES
from preprocess.stages.query_texts import embed
from preprocess.stages.run import run_stage
from preprocess.status import status

CAPTIONS = tuple(name for name, stage in STAGES.items() if stage.command == "captions")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    commands = {
        "simulate": _simulate,
        "captions": _captions,
        "pairs": _pairs,
        "status": _status,
        "audit": _audit,
        "doctor": _doctor,
        "weights": _weights,
        "preview": _preview,
        "embed": _embed,
    }

    def run() -> int | None:
        manifest, name = read_manifest(chosen.manifest, chosen.dataset, check_lvm)
        return commands[chosen.command](Project(manifest, name), chosen)

    return exit_status(run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m preprocess", description="images and scans -> shards")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("simulate", "write the simulated world that the data set names: street or room"),
        ("captions", "image captions, entities and text embeddings"),
        ("pairs", "project points into pixels and write the point-text shards"),
        ("status", "every stage: fresh, stale and why, missing, partial"),
        ("audit", "coverage, entities against labels, calibration, overlay pictures"),
        ("doctor", "is everything there that the manifest names"),
        ("weights", "download the weights that the manifest names"),
        ("preview", "caption, phrases and masks of one image, as a picture and as text"),
        ("embed", "rows of texts to query a trained network with, by the encoder of the text table"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--manifest", type=Path, default=Path("data_manifest.yaml"))
        command.add_argument("--dataset", help="a key of `datasets` in the manifest; default: its `default`")
        if name == "captions":
            command.add_argument("--only", choices=CAPTIONS, metavar="STAGE", help=", ".join(CAPTIONS))
            command.add_argument("--limit", type=int, metavar="N", help="print the first N images only")
        elif name == "audit":
            command.add_argument("--ratio", type=float, default=1, help="labelled scans, percent; default: 1")
            command.add_argument("--seed", type=int, default=0, help="of the choice of labelled scans")
        elif name == "weights":
            command.add_argument("--mirror", type=Path, help="a copied hub cache to take them from")
            command.add_argument("--into", type=Path, help="put plain files into this folder too")
        elif name == "preview":
            command.add_argument("image", type=Path, help="an image file")
        elif name == "embed":
            command.add_argument("--text", action="append", default=[], help="may be given several times")
            command.add_argument("--classes", action="store_true", help="the name of every class too")
    return parser


def _simulate(project: Project, chosen: argparse.Namespace) -> None:
    if project.spec.simulate is None:
        raise ManifestError(
            f"data set {project.name!r} is not simulated; only one with `simulate` can be written"
        )
    with only_one(project.folder):
        print(f"{project.spec.simulate.world}: {_simulated(project)}")


def _captions(project: Project, chosen: argparse.Namespace) -> None:
    with only_one(project.folder):
        _ensure_data(project)
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
    lines, healthy = doctor(project)
    print(lines)
    return 0 if healthy else 2


def _weights(project: Project, chosen: argparse.Namespace) -> None:
    print(fetch_weights(project.manifest, chosen.mirror, chosen.into))


def _preview(project: Project, chosen: argparse.Namespace) -> None:
    print(preview(project, chosen.image))


def _embed(project: Project, chosen: argparse.Namespace) -> None:
    with only_one(project.folder):
        print(embed(project, chosen.text, chosen.classes))


def _ensure_data(project: Project) -> None:
    """Decision: a simulated world that is not there, or not as the manifest wants it, is written unasked."""
    if project.spec.simulate is not None:
        report = _simulated(project)
        if report.written:
            print(f"{project.spec.simulate.world}: {report}", flush=True)


def _simulated(project: Project) -> SimulationReport:
    return simulate(project.spec, project.manifest.workers)


if __name__ == "__main__":
    sys.exit(main())
