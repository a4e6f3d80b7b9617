"""Time of a training step: LASS3D beside Mean Teacher and supervised-only.

    python benchmarks/step.py [--rounds 7]

The demo preset with 20 % labels runs on ten simulated streets, which are written, captioned and paired in a
temporary folder first. All methods take the same batches, in turn, in one process of one thread. Times are
processor times, the median of the rounds. A step is what the loop does with a finished batch: losses,
backward, optimiser, Eq. (1). Building the batch has a separate row; it is the same for all methods with
unlabelled scans. Only the ratios are meaningful.

Methods in bfloat16 take batches that no other method has seen. On a CPU, oneDNN compiles a kernel in 1 to 18
milliseconds for every new shape of bfloat16 matrices. In training this happens at every step, because batches
differ in their numbers of voxels, and so bfloat16 is slower than float32. A second method on the same batch
would find the kernels compiled.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from tqdm import tqdm

from lass3d_core.manifest.reading import read_manifest
from preprocess.__main__ import main as preprocess
from train.config import RunConfig, with_settings
from train.data.batches import StepBatches
from train.data.paired_scans import PairedScans
from train.loop import take_step
from train.methods.contract import Method, SemiBatch
from train.optimiser import make_optimiser
from train.presets.demo import demo
from train.runs.run import Run
from train.runs.run_folder import RunFolder

CPU = torch.device("cpu")
MANIFEST = """\
schema: 1
default: street
datasets:
  street:
    reader: semantickitti
    root: data
    simulate: {train: 10, val: 1, test: 1, seed: 0, cameras: 1, frames_per_drive: 1}
    splits: {train: ["00"], val: ["01"], test: ["02"]}
image_captions: {name: palette}
entities: {name: palette, vocabulary: captions}
text_embeddings: {name: hashing}
"""
VARIANTS = {
    "supervised": ("supervised", ()),
    "mean_teacher": ("mean_teacher", ()),
    "lass3d, single_pass": ("lass3d", ("method.pe_form=single_pass",)),
    "lass3d, paper": ("lass3d", ("method.pe_form=paper",)),
    "lass3d without text": ("lass3d", ("method.captions=none",)),
    "mean_teacher, bfloat16": ("mean_teacher", ("precision=bfloat16",)),
    "lass3d, bfloat16": ("lass3d", ("method.pe_form=single_pass", "precision=bfloat16")),
}
PEER = "mean_teacher"
FAR = 100  # batches between two bfloat16 methods: more than any number of rounds


@dataclass(frozen=True)
class Contender:
    """A method with its optimiser and its batches."""

    config: RunConfig
    method: Method
    optimiser: torch.optim.Optimizer
    batches: StepBatches

    @classmethod
    def of(cls, method_name: str, settings: Iterable[str], folder: Path) -> Contender:
        """A method with fresh weights on the data in `folder`."""
        manifest, dataset = read_manifest(folder / "data_manifest.yaml", None)
        config = with_settings(demo(dataset, method_name, 20.0, 0), settings)
        pairs = PairedScans.open(manifest.artifacts_of(dataset))
        run = Run.of(config, pairs, manifest.datasets[dataset], RunFolder(folder / "run"), CPU)
        method = run.make_method().train()
        optimiser = make_optimiser(config.optim, method.parameters())
        batches = StepBatches(pairs, run.split, config.data, 0, run.levels, config.schedule.steps)
        return cls(config, method, optimiser, batches)

    def step(self, batch: SemiBatch, number: int) -> float:
        """Take a step. Returns its processor time in seconds."""
        start = time.process_time()
        config = self.config
        clip = config.optim.max_grad_norm
        take_step(self.method, self.optimiser, [batch], number, clip, CPU, config.precision)
        return time.process_time() - start


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="steps of each method (default: 7)")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        write_street(Path(scratch))
        contenders = {name: Contender.of(*variant, Path(scratch)) for name, variant in VARIANTS.items()}
        measure(contenders, range(1))
        steps, building = measure(contenders, range(1, rounds + 1))
    peer = median(steps[PEER])
    print(f"{'step':<22} {'seconds':>8} {'/ ' + PEER:>16}")
    for name, seconds in {**steps, "building its batch": building}.items():
        print(f"{name:<22} {median(seconds):>8.3f} {median(seconds) / peer:>16.2f}")


def write_street(folder: Path) -> None:
    """Write a manifest, ten streets, their texts and pairs."""
    (folder / "data_manifest.yaml").write_text(MANIFEST, encoding="utf-8")
    for command in tqdm(("simulate", "captions", "pairs"), "writing streets", leave=False):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = preprocess([command, "--manifest", str(folder / "data_manifest.yaml")])
        if status:
            raise SystemExit(f"preprocess {command} failed: {said.getvalue()}")


def measure(contenders: dict[str, Contender], rounds: range) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of the steps of each method, and seconds of building the batches of the peer."""
    steps: dict[str, list[float]] = {name: [] for name in contenders}
    building = []
    for number in tqdm(rounds, "measuring", unit="round", leave=False):
        for place, (name, contender) in enumerate(contenders.items()):
            apart = place * FAR if contender.config.precision == "bfloat16" else 0
            start = time.process_time()
            batch = contender.batches[number + apart]
            if name == PEER:
                building.append(time.process_time() - start)
            steps[name].append(contender.step(batch, number))
    return steps, building


if __name__ == "__main__":
    main()
