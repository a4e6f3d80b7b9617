"""How long a training step waits for its batch.

    python benchmarks/loader.py [--steps 60] [--workers 0 1]

The demo preset with 20 % labels runs on ten simulated streets, which are written, captioned and paired in a
temporary folder first. The training loop runs in one thread with the loader. The table sums up what it logs
as `seconds_waiting` and `seconds`, from step 10 on, when workers and caches are warm. Times are wall-clock
times: other work on the machine counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # a plain checkout

from benchmarks.step import CPU, Contender, write_street
from train.data.batches import batch_loader
from train.loop import Callbacks, Figures, train

METHODS = ("supervised", "lass3d")
WARM_UP = 10


def main() -> None:
    """Print one line per method and number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60, help="of each run (default: 60)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1], help="of each run (default: 0 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'method':<12} {'workers':>8} {'s/step':>8} {'waiting':>8} {'longest wait, s':>16}")
    with tempfile.TemporaryDirectory() as scratch:
        write_street(Path(scratch))
        for method in METHODS:
            for workers in arguments.workers:
                rows = logged(method, workers, arguments.steps, Path(scratch))[WARM_UP:]
                print(f"{method:<12} {workers:>8} {line(rows)}", flush=True)


def logged(method: str, workers: int, steps: int, folder: Path) -> list[Figures]:
    """What the loop logs of each step of a fresh run."""
    settings = (f"data.workers={workers}", f"schedule.steps={steps}")
    run = Contender.of(method, settings, folder)
    rows: list[Figures] = []
    around = Callbacks(
        title=f"{method}, {workers} workers",
        log=lambda step, figures: rows.append(dict(figures)),
        validate=dict,
        save=lambda done: None,
    )
    train(run.config, run.method, run.optimiser, batch_loader(run.batches, 0, workers), CPU, 0, around)
    return rows


def line(rows: list[Figures]) -> str:
    """Median step, share of the time that was waited, longest wait."""
    seconds = [row["seconds"] for row in rows]
    waiting = [row["seconds_waiting"] for row in rows]
    return f"{median(seconds):>8.3f} {sum(waiting) / sum(seconds):>8.2%} {max(waiting):>16.3f}"


if __name__ == "__main__":
    main()
