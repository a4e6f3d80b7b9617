"""Check of a GPU: do the sparse backends agree with the CPU, and how fast are training steps?

    python benchmarks/gpu_check.py [--device cuda] [--minutes 8] [--turns 2000] [--small]

One run tells as much as it can in its minutes. The stages come in the order of their value. A stage that
fails is a line, and the next one follows. What there was no time for is named. The last lines are the tables
for docs/measurements.md. The folder OUT (of the environment), else a temporary one, gets gpu_check.md and,
after every stage, gpu_check.json with all figures.

- conformance: every backend that can be loaded against dense convolutions in float64 on the CPU, in float32,
  float16 and bfloat16: the largest difference of the result and of both gradients, relative to the largest
  value. The kernel maps that the device builds against those of the host.
- steps: micro-batches per second, peak memory, and the memory that train/runs/memory.py predicts, for the
  published presets on simulated scans: sweeps of about 120 000 points, two labelled and two unlabelled in a
  micro-batch; crops of rooms. A step is what the loop does with one micro-batch that lies in pinned memory.
- kernels: operations, launches and waits of a micro-batch, and the share of the time that the device is busy.
- backbone: beside dense products with as many multiplications, and beside a network of spconv of the same
  widths with implicit GEMM in float16, if spconv is installed.
- loader: what a step waits for batches that worker processes build.

It needs PyTorch, numpy and the packages in NEEDED, and runs from a plain checkout, which need not be
installed. On a machine without a network carry a folder of wheels:

    pip download -d wheels pydantic tqdm PyYAML scipy h5py hdf5plugin        # here, for the same Python
    pip install --no-index --find-links wheels pydantic tqdm PyYAML scipy h5py hdf5plugin    # there

Add spconv-cu126, or the wheel of that machine's CUDA, to measure spconv too. Without a GPU the program says
so and ends. `--device cpu --turns 50 --minutes 2 --small` tries every stage on a CPU, with a small network.
The exit status is 1 if a stage failed or a backend disagrees. After an access outside its memory a GPU does
nothing more for a process; then a new one takes the stages that are left.
float32 is without TF32. LASS3D+ is without its prior, which needs counted phrases.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a plain checkout

if TYPE_CHECKING:
    import torch

NEEDED = {
    "numpy": "numpy",
    "torch": "torch",
    "pydantic": "pydantic",
    "tqdm": "tqdm",
    "yaml": "PyYAML",
    "scipy": "scipy",
}
NEEDED_BY_THE_LOADER = {"h5py": "h5py", "hdf5plugin": "hdf5plugin"}
"""Module -> its package."""


def main() -> int:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no stage begins (8)")
    parser.add_argument("--turns", type=int, default=2000, help="columns of a sweep of 64 beams (2000)")
    parser.add_argument("--small", action="store_true", help="a small network and short measurements")
    parser.add_argument(
        "--resume", type=Path, help=argparse.SUPPRESS
    )  # the JSON of a process that lost the GPU
    arguments = parser.parse_args()
    if absent := missing(NEEDED):
        print(f"missing: {', '.join(absent)}: pip install {' '.join(absent)}")
        return 1
    import torch

    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available() and not arguments.resume:
        print("no GPU here: nothing was checked")
        return 0
    return checked(device, arguments)


def checked(device: torch.device, arguments: argparse.Namespace) -> int:
    """Run all stages and print the tables."""
    from benchmarks.gpu.plan import Plan
    from benchmarks.gpu.report import Report, one_line

    if arguments.resume:
        report = Report.resumed(arguments.resume)
    else:
        folder = Path(os.environ.get("OUT") or tempfile.mkdtemp(prefix="gpu_check_"))
        report = Report(folder / "gpu_check.json", time.time() + 60 * arguments.minutes)
    absent = missing(NEEDED_BY_THE_LOADER)
    if absent and not arguments.resume:
        report.left_out.append(f"loader: missing {', '.join(absent)}: pip install {' '.join(absent)}")
        print(report.left_out[-1])
    report.begin_watch()
    try:
        Plan(report, device, arguments.turns, arguments.small, not absent).run()
    except Exception as error:  # the tables are worth more than a traceback
        report.errors.append(f"between two stages: {type(error).__name__}: {one_line(error)}")
    report.save()
    text = report.markdown()
    report.path.with_suffix(".md").write_text(f"{text}\n", encoding="utf-8")
    print(f"all figures: {report.path}\n\n{text}", flush=True)
    return 1 if report.errors else 0


def missing(modules: dict[str, str]) -> list[str]:
    """The packages of the modules that are not installed."""
    return [package for module, package in modules.items() if importlib.util.find_spec(module) is None]


if __name__ == "__main__":
    sys.exit(main())
