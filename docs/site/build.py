"""Build the site strictly and check it: `make docs`. Exit status 1 if anything is wrong with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from check import problems_of

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Build, check, and say where to look."""
    # The notice is about the future of MkDocs and no warning about these pages.
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    command = [sys.executable, "-m", "mkdocs", "--quiet", "build", "--strict", "--clean"]
    if subprocess.run(command, cwd=ROOT, env=env, check=False).returncode:
        return 1
    problems = problems_of(ROOT / "site")
    for line in problems:
        print(f"error: {line}", file=sys.stderr)
    if not problems:
        print("site/index.html")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
