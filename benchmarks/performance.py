"""Run all benchmarks of speed and size and write their output into docs/measurements.md.

    python benchmarks/performance.py [NAME ...] [--into docs/measurements.md]

The output of each benchmark goes unchanged into the performance section, between the two marks of the file,
with the command, its duration, and the machine. Other programs on the machine distort the ratios, so the load
before each benchmark is given too. With NAMEs (pairing, shards, convolution, step, loader, gpu_check), only
these are run and nothing is written.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from lass3d_core.files.atomic import atomic_write

HERE = Path(__file__).resolve().parent
NAMES = ("pairing", "shards", "convolution", "step", "loader", "gpu_check")
BEGIN, END = "<!-- performance: begin -->", "<!-- performance: end -->"


@dataclass(frozen=True)
class Printed:
    """The output of a benchmark, its duration, and the load of the machine before it."""

    name: str
    output: str
    seconds: float
    load: float

    def __str__(self) -> str:
        return (
            f"### {self.name}\n\n`python benchmarks/{self.name}.py`, {self.seconds:.0f} s, load before "
            f"{self.load:.1f}.\n\n```text\n{self.output.rstrip()}\n```\n"
        )


def main() -> None:
    """Run, print, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all of them")
    parser.add_argument("--into", type=Path, default=HERE.parent / "docs/measurements.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    printed = [run(name) for name in arguments.names or NAMES]
    if arguments.names:
        return
    write_section(arguments.into, machine() + "\n\n" + "\n".join(map(str, printed)))
    minutes = sum(part.seconds for part in printed) / 60
    print(f"performance: {len(printed)} benchmarks in {minutes:.1f} min, written to {arguments.into}")


def run(name: str) -> Printed:
    """Run one benchmark in a new process and print its lines as they come."""
    print(f"== {name}", flush=True)
    load, start, lines = os.getloadavg()[0], time.monotonic(), []
    command = [sys.executable, "-u", str(HERE / f"{name}.py")]
    threads = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=threads) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(f"{name} ended with status {process.returncode}; nothing was written")
    return Printed(name, "".join(lines), time.monotonic() - start, load)


def machine() -> str:
    """The machine in one line."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{_processor()}, {os.cpu_count()} cores, {gpu}; Python {platform.python_version()}, "
        f"torch {torch.__version__}; {time.strftime('%Y-%m-%d', time.gmtime())}."
    )


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def write_section(path: Path, section: str) -> None:
    """Replace the text between the marks of the file."""
    content = path.read_text(encoding="utf-8")
    if BEGIN not in content or END not in content:
        sys.exit(f"{path} has no lines {BEGIN} and {END}; add them where the section belongs")
    before, rest = content.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    with atomic_write(path) as part:
        part.write_text(f"{before}{BEGIN}\n{section}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
