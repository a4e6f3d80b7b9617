"""The training steps that are measured: a preset, a method, a precision and a backend on simulated scans."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median

import numpy as np
import torch
from torch import Tensor

from benchmarks.convolution import simulated_sweep
from benchmarks.memory import TEXT_DIM, a_batch, method_of, room_crop
from lass3d_core.compute.precision import make_scaler
from lass3d_core.sparse.maps import unbuilt_pyramid
from train.config import RunConfig, with_settings
from train.loop import Figures, take_step
from train.methods.contract import SemiBatch
from train.optimiser import make_optimiser
from train.presets.published import nuscenes, scannet, semantickitti
from train.runs.layers import BatchSize
from train.runs.memory import GIB, Networks, expected_memory

PRESETS = {"semantickitti": semantickitti, "nuscenes": nuscenes, "scannet": scannet}
CLASSES = {"semantickitti": 19, "nuscenes": 16, "scannet": 20}
FEATURES = {"semantickitti": 4, "nuscenes": 4, "scannet": 6}
NARROW = ("net.stem=8", "net.encoder=[8, 8]", "net.decoder=[8, 8]")
_WARM_UP = 2


@dataclass(frozen=True)
class Case:
    """What is measured. turns: columns of a sweep. narrow: a small network, to try the program on a CPU."""

    preset: str
    method: str
    precision: str
    backend: str
    turns: int
    settings: tuple[str, ...] = ()
    narrow: bool = False

    @property
    def config(self) -> RunConfig:
        """One micro-batch is a step here, so that its memory is that of one."""
        settings = [f"precision={self.precision}", f"net.backend={self.backend}", "data.accumulate=1"]
        settings += [*self.settings, *(NARROW if self.narrow else ())]
        return with_settings(PRESETS[self.preset]("any", self.method, 1.0, 0), settings)

    @property
    def host_batch(self) -> SemiBatch:
        """The micro-batch with its maps, on the CPU."""
        config = self.config
        drawn = (config.data.labelled_scans, config.data.unlabelled_scans)
        return _host_batch(self.preset, drawn, self.turns, self.narrow)

    def names(self) -> dict[str, str]:
        """The first columns of a row."""
        method = " ".join([self.method, *self.settings])
        return {
            "preset": self.preset,
            "method": method,
            "precision": self.precision,
            "backend": self.backend,
        }

    def predicted_gib(self) -> float:
        """The peak memory by train/runs/memory.py."""
        config, classes = self.config, CLASSES[self.preset]
        networks = Networks.of(config, FEATURES[self.preset], classes, TEXT_DIM)
        size = BatchSize.of(self.host_batch)
        return expected_memory(config, size, networks, classes, on_gpu=True).total / GIB


@lru_cache(maxsize=4)
def _host_batch(preset: str, drawn: tuple[int, int], turns: int, narrow: bool) -> SemiBatch:
    """A micro-batch of `drawn` labelled and unlabelled scans, with all maps."""
    method = "lass3d" if drawn[1] else "supervised"
    config = Case(preset, method, "float32", "reference", turns, narrow=narrow).config
    return a_batch(config, scans_of(preset, sum(drawn), turns), CLASSES[preset], FEATURES[preset])


def scans_of(preset: str, count: int, turns: int) -> list[Tensor]:
    """Points (N,3) of each scan: sweeps of 64 or 32 beams, or crops of rooms.

    turns: columns of a sweep of 64 beams.
    """
    if preset == "scannet":
        # Fewer columns of a sweep, fewer points of a room.
        step = 0.02 * (2000 / turns) ** 0.5
        return [room_crop(number, step=step) for number in range(count)]
    beams, columns = (64, turns) if preset == "semantickitti" else (32, max(turns * 1084 // 2000, 8))
    return [simulated_sweep(np.random.default_rng(number), beams, columns) for number in range(count)]


class Trainer:
    """A case that can take steps: fresh weights, and a batch as the loader sends it."""

    def __init__(self, case: Case, device: torch.device) -> None:
        self.config, self.device = case.config, device
        host = case.host_batch
        self.method = method_of(self.config, host, CLASSES[case.preset]).to(device)
        self.optimiser = make_optimiser(self.config.optim, self.method.parameters())
        self.scaler = make_scaler(self.config.precision, device)
        self.batch = sent(host, device)
        self.taken = 0

    def step(self, batch: SemiBatch | None = None) -> Figures:
        """One step of the loop. It ends with numbers on the host, so nothing is queued after it."""
        optim = self.config.optim
        batches = [self.batch if batch is None else batch]
        step, self.taken = self.taken, self.taken + 1
        return take_step(
            self.method,
            self.optimiser,
            batches,
            step,
            optim.max_grad_norm,
            self.device,
            self.config.precision,
            self.scaler,
        )

    def warm_up(self) -> None:
        """Compile, allocate the optimiser's state, fill the allocator's cache."""
        for _ in range(_WARM_UP):
            self.step()


def sent(batch: SemiBatch, device: torch.device) -> SemiBatch:
    """`batch` as the loader sends it: to a GPU coordinates alone, from page-locked memory."""
    if device.type == "cpu":
        return batch
    unbuilt = unbuilt_pyramid(batch.pyramid.coords[0], batch.pyramid.levels)
    return replace(batch, pyramid=unbuilt).narrowed().pin_memory()


def seconds_of(work: Callable[[], object], device: torch.device, longest: float, most: int) -> float:
    """The median of up to `most` runs of `work`, which end after `longest` seconds. The first is left out."""
    work()
    wait_for(device)
    begun = time.perf_counter()
    taken: list[float] = []
    while len(taken) < most and (not taken or time.perf_counter() - begun < longest):
        started = time.perf_counter()
        work()
        wait_for(device)
        taken.append(time.perf_counter() - started)
    return median(taken)


def wait_for(device: torch.device) -> None:
    """Until all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measured_gib(device: torch.device, work: Callable[[], object]) -> float | None:
    """The most memory that tensors take while `work` runs; None on a CPU, which does not count them."""
    if device.type != "cuda":
        work()
        return None
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return torch.cuda.max_memory_allocated(device) / GIB


def measure_steps(case: Case, device: torch.device, longest: float) -> dict[str, float | None]:
    """Micro-batches per second, peak memory in GiB, what was predicted, and the loss."""
    trainer = Trainer(case, device)
    trainer.warm_up()
    loss = trainer.step()["loss"]
    peak = measured_gib(device, trainer.step)
    seconds = seconds_of(trainer.step, device, longest, most=10)
    predicted = case.predicted_gib()
    return {
        "per second": 1 / seconds,
        "peak GiB": peak,
        "predicted GiB": predicted,
        "measured / predicted": None if peak is None else peak / predicted,
        "loss": loss,
    }
