"""What a check of a GPU has found, saved after every stage, and the stages that time is left for."""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]
TABLES = {
    "conformance": "Largest difference to dense convolutions in float64, relative to the largest value",
    "steps": "Training steps of one micro-batch",
    "kernels": "What a micro-batch asks the device for",
    "backbone": "The backbone alone, forward and backward",
    "loader": "Waiting for the loader",
    "maps": "Kernel maps of a micro-batch",
}
"""Name -> title, in the order in which the tables are printed."""

_GRACE_S = 30  # that a stage may take beyond the time: then what is known is printed, and the program ends


@dataclass
class Report:
    """Figures by table, and what became of each stage. `path`: where they are kept as JSON.

    machine: what was checked. done: stages that were begun. errors: "stage: what went wrong".
    left_out: "what: why". ends: the time (time.time) after which no stage begins.
    """

    path: Path
    ends: float
    machine: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[Row]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def resumed(cls, path: Path) -> Report:
        """The report that an earlier process has kept."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**content, "path": path})

    def save(self) -> None:
        """Write the JSON. A reader sees the old or the new one whole."""
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({**asdict(self), "path": str(self.path)}, indent=1), encoding="utf-8")
        part.replace(self.path)

    @property
    def seconds_left(self) -> float:
        """Until no stage begins any more."""
        return self.ends - time.time()

    def add(self, table: str, **figures: Any) -> None:
        """One row of a table, which is printed at once."""
        self.tables.setdefault(table, []).append(figures)
        print(f"{table:<12} " + "  ".join(f"{name} {shown(value)}" for name, value in figures.items()))
        sys.stdout.flush()

    def stage(self, name: str, seconds: float, work: Callable[[], object]) -> None:
        """Do a stage that takes about `seconds`, unless it was begun before or the time is short.

        An error is a line, and the next stage follows. If the GPU answers no more, a new process goes on.
        """
        if name in self.done:
            return
        if self.seconds_left < seconds:
            self.left_out.append(
                f"{name}: {max(self.seconds_left, 0):.0f} s left, it takes some {seconds:.0f}"
            )
            print(f"left out     {self.left_out[-1]}", flush=True)
            return
        self.done.append(name)
        begun = time.time()
        # Saved before: a stage that kills the process is not begun again.
        self.errors.append(f"{name}: the process ended in it")
        self.save()
        try:
            work()
            self.errors.pop()
        except Exception as error:
            self.errors[-1] = f"{name}: {type(error).__name__}: {one_line(error)}"
            print(f"ERROR        {self.errors[-1]}", flush=True)
        print(f"stage        {name}: {time.time() - begun:.1f} s", flush=True)
        self.save()
        if not answers():
            print("the GPU answers no more; a new process goes on", flush=True)
            go_on(self.path)

    def begin_watch(self) -> None:
        """If a stage hangs, print what is known and end the process."""

        def give_up() -> None:
            print(f"{self.markdown()}\nended: a stage took too long", flush=True)
            os._exit(1)

        watch = threading.Timer(max(self.seconds_left, 0) + _GRACE_S, give_up)
        watch.daemon = True
        watch.start()

    def markdown(self) -> str:
        """All tables, errors and what was left out, for docs/measurements.md."""
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        parts = [f"### gpu_check\n\n{machine}."]
        for name, title in TABLES.items():
            if rows := self.tables.get(name):
                parts.append(f"{title}:\n\n{markdown_table(rows)}")
        notes = [
            *(f"- error: {one}" for one in self.errors),
            *(f"- left out: {one}" for one in self.left_out),
        ]
        parts += ["\n".join(notes)] if notes else []
        return "\n\n".join(parts)


def markdown_table(rows: Sequence[Row]) -> str:
    """A table with the columns of all rows, in the order in which they first appear."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[shown(row.get(name)) for name in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: Any) -> str:
    """A figure in three or four digits; a dash for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.4g}"
    return str(value)


def one_line(error: Exception) -> str:
    """The first two hundred characters, on one line."""
    return " ".join(str(error).split())[:200]


def answers() -> bool:
    """Whether the GPU still computes: after an access outside its memory it does nothing for this process."""
    if not torch.cuda.is_available():
        return True
    gc.collect()  # what a failed stage holds
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return bool(torch.ones(1, device="cuda").sum().item() == 1)
    except Exception:
        return False


def go_on(path: Path) -> None:
    """Replace this process by one that does the stages that are left."""
    os.execv(sys.executable, [sys.executable, "-u", *sys.argv, "--resume", str(path)])
