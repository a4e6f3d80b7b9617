"""`python -m preprocess`: captions, pairs, doctor and the other commands of preprocess/commands.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lass3d_core.program import Main, run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    return run_program(_load_doctor if "doctor" in words[:1] else _load, arguments)


def _load() -> Main:
    from preprocess.commands import main

    return main


def _load_doctor() -> Main:
    """The program; if a package of it is missing or broken, one that says which, and no more."""
    from preprocess.doctor.finding import as_lines, is_healthy
    from preprocess.doctor.packages import packages, python

    findings = [python(), *packages()]
    if is_healthy(findings):
        return _load()

    def say(arguments: Sequence[str] | None) -> int:
        print(as_lines(findings))
        print("the models, the data and the machine are looked at once these are mended")
        return 2

    return say


if __name__ == "__main__":
    sys.exit(main())
