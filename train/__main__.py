"""`python -m train`: run, eval, report, table and the other commands of train/commands/commands.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lass3d_core.program import Main, run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    return run_program(_load, arguments)


def _load() -> Main:
    from train.commands.commands import main

    return main


if __name__ == "__main__":
    sys.exit(main())
