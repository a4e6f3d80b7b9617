"""`make clean`: delete what the programs wrote. It says what, and asks. Data sets are never touched."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from lass3d_core.errors import Lass3dError, MissingArtifact
from preprocess.project import Project
from preprocess.stages.plan import STAGES, plan
from preprocess.status import plural, size_on_disk


def clean(project: Project, run: Path | None, stale: bool) -> str:
    """Delete after a question, and say what is gone. Returns the last line.

    run: that run alone. stale: only artifacts that are not fresh. Otherwise the artifacts and the runs of the
    data set. Raises MissingArtifact, Lass3dError if nobody answers yes.
    """
    if run is not None:
        if not (run / "config.json").is_file():
            raise MissingArtifact(f'{run} is not the folder of a run; "make runs" lists the runs')
        return _delete([run], "the run")
    if stale:
        return _delete(stale_files(project), "the stale artifacts")
    folders = [project.folder, project.manifest.runs / project.name]
    return _delete([folder for folder in folders if folder.is_dir()], "the artifacts and all runs")


def stale_files(project: Project) -> list[Path]:
    """The files of every stage that it would make anew."""
    planned = [plan(project, stage) for stage in STAGES.values()]
    return [shard.path for one in planned for shard in one.to_do if shard.path.exists()]


def _delete(paths: Sequence[Path], what: str) -> str:
    if not paths:
        return "nothing to delete"
    size = size_on_disk([file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])])
    shown = ", ".join(map(str, paths[:3])) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    print(f"deletes {what}: {shown} ({size})", file=sys.stderr)
    print("type yes to delete: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise Lass3dError("the answer was not yes; nothing was deleted")
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return f"deleted {plural(len(paths), 'path')}, {size}"
