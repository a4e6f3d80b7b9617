"""What a step asks the device for: kernels, waits, and how long the device is busy."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.report import Report
from benchmarks.gpu.work import Case, Trainer, wait_for
from lass3d_core.compute.launches import KernelCount
from lass3d_core.compute.synchronisations import counted_synchronisations
from lass3d_core.sparse.reference import as_on_a_gpu

_SHOWN = 8  # kernels, by the time that they take


def count_asked(report: Report, case: Case, device: torch.device) -> None:
    """One row: operations that launch, waits by our count and by PyTorch's, and the device's own time.

    A kernel of Triton is no operation of PyTorch: only the profiler counts it. On a CPU the reference
    computes in its form for a GPU, and there is nothing to profile.
    """
    trainer = Trainer(case, device)
    with as_on_a_gpu():
        trainer.warm_up()
        with KernelCount() as kernels:
            trainer.step()
        with counted_synchronisations() as places:
            trainer.step()
    row: dict[str, Any] = {**case.names(), "operations": kernels.launches, "waits counted": places.total()}
    print(f"waits by place: {dict(places)}; most often: {dict(kernels.launches_of.most_common(_SHOWN))}")
    try:
        if device.type == "cuda":
            row["waits by PyTorch"] = waits_of(trainer.step)
            row |= busy(trainer.step, device)
    finally:  # what was counted is kept if the profiler fails
        report.add("kernels", **row)


def waits_of(work: Callable[[], object]) -> int:
    """How often PyTorch itself says that the program waits for the GPU."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(one.message) for one in found)


def busy(work: Callable[[], object], device: torch.device) -> dict[str, Any]:
    """Launches, milliseconds of kernels and of the step, from a profile. Prints the longest kernels."""
    wait_for(device)
    started = time.perf_counter()
    work()
    wait_for(device)
    seconds = time.perf_counter() - started
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        work()
        wait_for(device)
    averages = profiler.key_averages()
    launches = sum(one.count for one in averages if "LaunchKernel" in one.key)
    of_device: list[tuple[float, int, str]] = []
    for one in averages:
        if one.device_type == torch.autograd.DeviceType.CUDA and one.self_device_time_total:
            of_device.append((one.self_device_time_total / 1e3, one.count, one.key))
    for milliseconds, count, name in sorted(of_device, reverse=True)[:_SHOWN]:
        print(f"  {milliseconds:8.2f} ms {count:5d} x {name[:90]}")
    total = sum(milliseconds for milliseconds, _, _ in of_device)
    return {
        "launches": launches,
        "kernels ms": total,
        "step ms": 1e3 * seconds,
        "busy": total / (1e3 * seconds),
    }
