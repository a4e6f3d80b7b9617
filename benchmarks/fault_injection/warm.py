"""Client of the server: run a program, or any function, in a child that can be killed or limited."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    status: exit status, negative for a signal. events: file-system events, if the child was not killed.
    hung: it had to be killed because it did not end.
    """

    status: int
    hung: bool
    seconds: float
    events: int
    output: str
    errors: str

    @property
    def killed(self) -> bool:
        """Whether it was still running when it was killed."""
        return self.status == -signal.SIGKILL

    @property
    def error_lines(self) -> list[str]:
        """The lines on stderr without those of progress, which begin with a time stamp."""
        lines = self.errors.splitlines()
        return [line for line in lines if line.strip() and not re.match(r"\d{4}-\d\d-\d\d ", line)]


class Warm:
    """A running server, as a context manager."""

    def __init__(self, preload: Path | None = None) -> None:
        """preload: a library that replaces functions of the system in every program."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if preload is not None:
            environment["LD_PRELOAD"] = str(preload)
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, program: str, *arguments: str, **conditions: Any) -> Ended:
        """Run `python -m program arguments`. conditions: see call."""
        return self.call(f"{program}.__main__:main", list(arguments), **conditions)

    def call(
        self,
        function: str,
        *arguments: Any,
        folder: Path | None = None,
        kill_after_s: float | None = None,
        kill_at_event: int | None = None,
        signal_number: int = signal.SIGKILL,
        whole_group: bool = True,
        file_bytes: int | None = None,
        shared_bytes: int | None = None,
        flock_errno: int | None = None,
    ) -> Ended:
        """Call `module:function` with JSON-able arguments. For the conditions see server.carry_out."""
        order = {
            "call": function,
            "arguments": arguments,
            "folder": str(folder) if folder is not None else "",
            "kill_after_s": kill_after_s,
            "kill_at_event": kill_at_event,
            "signal": signal_number,
            "whole_group": whole_group,
            "file_bytes": file_bytes,
            "shared_bytes": shared_bytes,
            "flock_errno": flock_errno,
        }
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return Ended(**json.loads(self._server.stdout.readline()))

    def __enter__(self) -> Warm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self._server.stdin, self._server.stdout):
            if stream is not None:
                stream.close()
        self._server.wait()
