"""`lass3d-predict`, `make predict` and `python -m lass3d_core.model`: see lass3d_core/model/command.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lass3d_core.program import Main, run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Label clouds. Returns the exit status."""
    return run_program(_load, arguments)


def _load() -> Main:
    from lass3d_core.model.command import main

    return main


if __name__ == "__main__":
    sys.exit(main())
