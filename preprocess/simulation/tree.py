"""Writes a simulated data set: its folders, the record of their settings beside them, and the files.

The record is written before the first scan. Folders that it names belong to the simulator and are replaced.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lass3d_core.errors import BackendUnavailable, DataError
from lass3d_core.files.atomic import storage_errors, write_text
from lass3d_core.files.json_files import parse_json
from lass3d_core.files.names import is_plain
from lass3d_core.pool import OnProgress, Work, WorkerDied, run_tasks
from lass3d_core.progress.bars import progress_bar

Task = TypeVar("Task")


@dataclass(frozen=True)
class SimulationReport:
    """What a simulator did. renewed: why scans of an earlier run were removed, in words, or None."""

    root: Path
    written: int
    kept: int
    renewed: str | None

    def __str__(self) -> str:
        why = f" (all anew: {self.renewed})" if self.renewed else ""
        return f"{self.written} scans written, {self.kept} were there, in {self.root}{why}"


def settle(record: Path, parent: Path, names: Sequence[str], made_from: Mapping[str, Any]) -> str | None:
    """Prepare the folders `names` below `parent` for a tree that is made from the settings `made_from`.

    A tree of other settings is removed; returned is why, in words, or None.
    Raises DataError for a folder that the simulator did not write, StorageError.
    """
    wanted, found = {**made_from, parent.name: list(names)}, _read(record, parent.name)
    if found == wanted:
        return None
    ours = found[parent.name] if found else []
    for folder in (parent / name for name in names if name not in ours):
        if folder.exists():
            raise DataError(f"{folder} was not written by the simulator; choose another root or other splits")
    with storage_errors(parent):
        for folder in (parent / name for name in ours):
            if folder.exists():
                shutil.rmtree(folder)
    write_text(record, json.dumps(wanted, indent=1, sort_keys=True) + "\n")
    if found is None:
        return None
    changed = [key for key in made_from if found.get(key) != made_from[key]]
    return ", ".join(f"{key} is {made_from[key]}, was {found.get(key)}" for key in changed) or "other folders"


def do_all(write: Callable[[Task], None], tasks: Sequence[Task], workers: int, name: str, unit: str) -> None:
    """Call `write`, a function of a module, for each task, in no particular order, with a progress bar.

    workers: processes of one thread each; 0 for one per core. name, unit: stand beside the progress bar.
    Raises what a task raises, and BackendUnavailable if a process is killed from outside.
    """
    slots = [None] * max(1, min(workers or os.cpu_count() or 1, len(tasks)))
    ended = run_tasks(partial(_ignoring_progress, write), tasks, slots, one_thread=True)
    with progress_bar(total=len(tasks), desc=name, unit=unit, disable=not tasks) as bar, closing(ended):
        for finished in ended:
            if isinstance(finished.error, WorkerDied):
                raise BackendUnavailable(
                    f"{name}: {finished.error} while it wrote a {unit}; set `workers` lower in the manifest "
                    "and run again, what is written is kept"
                )
            finished.result()
            bar.update()


def _read(record: Path, folders: str) -> dict | None:
    try:
        found = {folders: [], **parse_json(record.read_bytes())}
        # The folders are removed: a name such as `../data` must not get through.
        if not all(isinstance(name, str) and is_plain(name) for name in found[folders]):
            raise ValueError("it names folders elsewhere")
        return found
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        why = f"{record} is damaged; delete it together with the folder `{folders}` beside it"
        raise DataError(why) from None


def _ignoring_progress(write: Callable[[Any], None], slot: None) -> Work[Any, None]:
    def work(task: Any, on_progress: OnProgress) -> None:
        write(task)

    return work
