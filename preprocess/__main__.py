"""`python -m preprocess`: street, captions, pairs, status, audit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lass3d_core.errors import ManifestError, exit_status
from lass3d_core.manifest import read_manifest
from preprocess.audit import audit
from preprocess.lock import only_one
from preprocess.lvm import check_lvm
from preprocess.project import Project
from preprocess.run import run_stage
from preprocess.stages import STAGES
from preprocess.status import status
from preprocess.street import StreetReport, write_street

CAPTIONS = tuple(name for name, stage in STAGES.items() if stage.command == "captions")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    commands = {"street": _street, "captions": _captions, "pairs": _pairs, "status": _status, "audit": _audit}

    def run() -> None:
        manifest, name = read_manifest(chosen.manifest, chosen.dataset, check_lvm)
        commands[chosen.command](Project(manifest, name), chosen)

    return exit_status(run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m preprocess", description="images and scans -> shards")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("street", "write the simulated street"),
        ("captions", "image captions, entities and text embeddings"),
        ("pairs", "project points into pixels and write the point-text shards"),
        ("status", "every stage: fresh, stale and why, missing, partial"),
        ("audit", "coverage, frequent phrases, overlay pictures"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--manifest", type=Path, default=Path("data_manifest.yaml"))
        command.add_argument("--dataset", help="a key of `datasets` in the manifest; default: its `default`")
        if name == "captions":
            command.add_argument("--only", choices=CAPTIONS, metavar="STAGE", help=", ".join(CAPTIONS))
    return parser


def _street(project: Project, chosen: argparse.Namespace) -> None:
    if project.spec.simulate is None:
        raise ManifestError(
            f"data set {project.name!r} is not simulated; only one with `simulate` can be written"
        )
    with only_one(project.folder):
        print(f"street: {_simulated(project)}")


def _captions(project: Project, chosen: argparse.Namespace) -> None:
    with only_one(project.folder):
        _ensure_data(project)
        for name in (chosen.only,) if chosen.only else CAPTIONS:
            run_stage(project, name)


def _pairs(project: Project, chosen: argparse.Namespace) -> None:
    with only_one(project.folder):
        _ensure_data(project)
        run_stage(project, "pairs")


def _status(project: Project, chosen: argparse.Namespace) -> None:
    print(status(project))


def _audit(project: Project, chosen: argparse.Namespace) -> None:
    print(audit(project))


def _ensure_data(project: Project) -> None:
    """Decision: a simulated street that is not there, or not as the manifest wants it, is written unasked."""
    if project.spec.simulate is not None:
        report = _simulated(project)
        if report.written:
            print(f"street: {report}", flush=True)


def _simulated(project: Project) -> StreetReport:
    spec = project.spec
    assert spec.simulate is not None
    return write_street(spec.root, spec.simulate, spec.splits, project.manifest.workers)


if __name__ == "__main__":
    sys.exit(main())
