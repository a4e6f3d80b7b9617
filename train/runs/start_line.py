"""What a run says before its first step: one line, or the summary of `make train`."""

from __future__ import annotations

import torch

from lass3d_core.compute import parallel
from lass3d_core.progress.lines import duration
from train.data.batches import RankShare, StepBatches
from train.report.words import counted
from train.runs import checkpoint
from train.runs.environment import machine_of
from train.runs.layers import BatchSize
from train.runs.memory import GIB, Networks, expected_memory
from train.runs.pace import Pace
from train.runs.run import Run

_MEASURED = 2  # micro-batches that are built to know their size; the largest counts


def start_line(run: Run) -> str:
    """How many training scans are labelled and, if the method reads text, how many have some."""
    return f"{run.folder.path.name}: {_data(run)}"


def start_summary(run: Run) -> str:
    """Six lines: folder, data, machine, network, step, and what memory and time to expect.

    Builds two micro-batches, to know their voxels. Raises DataError, ManifestError as training does.
    """
    size = largest_batch(run)
    networks = networks_of(run, size)
    rows = {
        "run": str(run.folder.path),
        "data": _data(run),
        "device": _device(run),
        "network": _network(networks),
        "step": _step(run, size),
        "expect": f"{_memory(run, size, networks)}; {_time(run)}",
    }
    return "\n".join(f"{name:<8}{words}" for name, words in rows.items())


def largest_batch(run: Run) -> BatchSize:
    """The size of the largest of the first micro-batches of this process."""
    config, part = run.config, RankShare(parallel.rank(), parallel.world_size())
    batches = StepBatches(run.pairs, run.split, config.data, config.seed, run.levels, _MEASURED, part)
    sizes = [BatchSize.of(batches[number]) for number in range(_MEASURED)]
    return max(sizes, key=lambda size: size.voxels[0])


def networks_of(run: Run, size: BatchSize) -> Networks:
    """The parameters of the run's networks."""
    return Networks.of(run.config, size.features, run.pairs.num_classes, size.text_dim)


def _data(run: Run) -> str:
    scans = len(run.pairs.splits["train"])
    line = f"labels for {len(run.split.labelled)} of {scans} training scans"
    if not run.config.method.reads_text:
        return line
    with_text = len(run.pairs.scans_with_text)
    if not with_text:
        return f"{line}; no scan has text, so {run.config.method_name} learns from points and labels alone"
    return f"{line}; text for {with_text} of {scans} training scans"


def _device(run: Run) -> str:
    config, processes = run.config, parallel.world_size()
    name, processor = machine_of(run.device)
    if run.device.type == "cpu":
        name = f"CPU ({processor}), {counted(torch.get_num_threads(), 'thread')}"
    several = f"{counted(processes, 'process', 'processes')}, in each: " if processes > 1 else ""
    workers = f"{counted(config.data.workers, 'worker')} build batches"
    if not config.data.workers:
        workers = "no workers"
    return f"{several}{name}; {config.precision}; {_backend(run)}; {workers}"


def _backend(run: Run) -> str:
    net = run.config.net
    return "range images" if net.view == "range" else f"backend {net.backend}"


def _network(networks: Networks) -> str:
    trained, in_all = (f"{count / 1e6:.3g} M" for count in (networks.trained, networks.parameters))
    return f"{trained} parameters to train, {in_all} with those that follow them as averages"


def _step(run: Run, size: BatchSize) -> str:
    data, steps = run.config.data, run.config.schedule.steps
    scans = f"{data.labelled_scans} labelled"
    scans += f" + {data.unlabelled_scans} unlabelled" if data.unlabelled_scans else ""
    scans = f"{data.accumulate} x ({scans}) scans" if data.accumulate > 1 else f"{scans} scans"
    voxels = f"about {_rounded(size.voxels[0] / max(size.scans, 1)):,} voxels each".replace(",", " ")
    done = f", {_steps_done(run)} done" if _steps_done(run) else ""
    return f"{scans}, {voxels}; {steps} steps{done}"


def _memory(run: Run, size: BatchSize, networks: Networks) -> str:
    on_gpu = run.device.type == "cuda"
    needed = expected_memory(run.config, size, networks, run.pairs.num_classes, on_gpu).total
    if not on_gpu:
        return f"about {in_words(needed)} of memory beside PyTorch's own"
    there = torch.cuda.get_device_properties(run.device).total_memory
    said = f"about {in_words(needed)} of the GPU's {in_words(there)}"
    if needed < 0.9 * there:
        return said
    return (
        f"{said}, which may be too little: halve data.labelled_scans and data.unlabelled_scans, "
        "double data.accumulate"
    )


def _time(run: Run) -> str:
    seconds = expected_seconds(run)
    if seconds is None:
        return "the first steps tell the time"
    return f"about {duration(seconds)} without evaluation, at the pace of similar runs on this machine"


def expected_seconds(run: Run) -> float | None:
    """Of the steps that are left, from the logs of such runs on this machine; None if there is none."""
    left = run.config.schedule.steps - _steps_done(run)
    return Pace.of(run.folder.path.parent, machine_of(run.device)).left([(left, run.config)])


def _steps_done(run: Run) -> int:
    found = checkpoint.checkpoints(run.folder.checkpoints)
    return checkpoint.steps_of(found[-1]) if found else 0


def in_words(size: float) -> str:
    """Bytes as "9.6 GiB" or "310 MiB"."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"


def _rounded(count: float) -> int:
    """A count with two digits that mean something."""
    return round(float(f"{count:.2g}"))
