"""One wait for the GPU in a step: counted by operation on a CPU, and by CUDA itself where there is a GPU."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import train.loop
from lass3d_core.compute.precision import make_scaler
from lass3d_core.compute.synchronisations import counted_synchronisations
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from train.config import with_settings
from train.data.batches import StepBatches
from train.data.paired_scans import PairedScans
from train.loop import take_step
from train.methods import METHODS
from train.optimiser import make_optimiser
from train.presets.demo import demo
from train.runs.run import Run
from train.runs.run_folder import RunFolder

SPEC = DatasetSpec("semantickitti", Path(), SplitSpec(("0",), ("1",), ("2",)))
SMALL = ("net.stem=4", "net.encoder=[6, 6, 6]", "net.decoder=[6, 6, 6]", "optim.max_grad_norm=1")
READ = "train/loop.py tolist"
"""Where the figures of a step are read."""

MAPS = ("lass3d_core/sparse/pairs_on_host.py", "lass3d_core/sparse/voxels.py")
"""Kernel maps of scans that a method makes within a step. A GPU builds them with one wait: test_maps.py."""

ONE: dict[str, tuple[str, ...]] = {
    "supervised": (),
    "mean_teacher": (),
    "cps": (),
    "cbst": ("method.round_steps=1",),  # a round starts after every step
    "lass3d": ("method.pe_form=single_pass",),
    "lass3d_plus": ("method.query.weight=1",),
    "lim3d": (),  # before it distils
    "lasermix": ("method.lambda_lovasz=1", "method.pe.weight=1"),
}
"""Methods with one wait in a step, and the settings for it."""

MORE = {
    # Crops and wedges have as many voxels as the cut leaves, and phrases are listed once.
    "gpc": (*MAPS, "train/methods/gpc.py", "train/methods/parts/"),
    "ignet": (*MAPS, "train/methods/ignet.py", "train/methods/parts/crops.py"),
    # Connected components: here on the host, on a GPU by passes over the edges until none changes.
    "sss_net": ("lass3d_core/nets/superpoints.py", "lass3d_core/nets/components.py"),
    # Rows that a mask selects for the banks and the queries.
    "lim3d": ("train/methods/lim3d.py", "train/methods/parts/class_bank.py"),
}
"""Where other methods wait too, and why."""


def prepared(tiny: Any, method: str, device: str, *more: str) -> tuple[Run, Any]:
    """A run and its batches of three steps."""
    config = with_settings(demo("tiny", method, 20.0, 0), (*SMALL, "schedule.steps=3", *more))
    pairs = PairedScans.open(tiny.artifacts)
    run = Run.of(config, pairs, SPEC, RunFolder(tiny.run(method)), torch.device(device))
    data = StepBatches(run.pairs, run.split, config.data, 0, run.levels, 3)
    return run, [data[number] for number in range(3)]


def waits(tiny: Any, method: str, *more: str) -> list[tuple[Counter[str], float]]:
    """What each of three steps waits for, by place, and its updates of the optimiser."""
    run, batches = prepared(tiny, method, "cpu", *more)
    network = run.make_method().train()
    optimiser = make_optimiser(run.config.optim, network.parameters())
    scaler = make_scaler(run.config.precision, run.device)
    found = []
    for step, batch in enumerate(batches):
        with counted_synchronisations() as places:
            chosen = optimiser, [batch], step, 1.0, run.device, run.config.precision, scaler
            figures = take_step(network, *chosen)
        found.append((places, figures["updates"]))
    return found


@pytest.mark.parametrize(
    ("method", "precision"), [*((method, "float32") for method in ONE), ("lass3d", "float16")]
)
def test_a_step_waits_once(tiny, method: str, precision: str) -> None:
    allowed = MAPS if method == "lasermix" else ()
    for places, _ in waits(tiny, method, f"precision={precision}", *ONE[method]):
        assert {place: places[place] for place in places if not place.startswith(allowed)} == {READ: 1}


@pytest.mark.parametrize("setting", ["transfer=alignment", "captions=entity", "safm.fusion=concat"])
def test_the_ablations_of_lass3d_wait_once_too(tiny, setting: str) -> None:
    for places, _ in waits(tiny, "lass3d", "method.pe_form=single_pass", f"method.{setting}"):
        assert places == {READ: 1}


@pytest.mark.parametrize("setting", ["targets=words", "safety=false", "votes=strongest"])
def test_the_switches_of_lass3d_plus_wait_once_too(tiny, setting: str) -> None:
    for places, _ in waits(tiny, "lass3d_plus", f"method.{setting}"):
        assert places == {READ: 1}


def test_micro_batches_do_not_wait_either(tiny) -> None:
    run, batches = prepared(tiny, "lass3d", "cpu", "method.pe_form=single_pass")
    network = run.make_method().train()
    with counted_synchronisations() as places:
        take_step(
            network, make_optimiser(run.config.optim, network.parameters()), batches, 0, 1.0, run.device
        )
    assert places == {READ: 1}


def test_the_form_of_the_paper_waits_once_per_update(tiny) -> None:
    """After each round it asks whether a point is left to mine. MAPS: of the unlabelled scans alone."""
    for places, updates in waits(tiny, "lass3d", "method.pe_form=paper", "method.pe_iterations=3"):
        assert updates == 3
        others = {place: places[place] for place in places if not place.startswith(MAPS)}
        assert others == {READ: 1, "train/methods/lass3d.py _local_scalar_dense": 2}


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(ONE) | {"lim3d"}))
def test_the_others_wait_where_it_is_known(tiny, method: str) -> None:
    settings = {
        "gpc": ("method.labels_first=0",),
        "lim3d": ("method.distil_from=1",),
        "sss_net": ("method.round_steps=1",),
    }
    for places, _ in waits(tiny, method, *settings.get(method, ())):
        others = {place for place in places if not place.startswith(MORE[method])}
        # The gradient of rows that a mask selected looks for them again.
        assert others - {"train/loop.py index_put"} == {READ} and places[READ] == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("method", sorted(set(ONE) - {"lasermix"}))
def test_cuda_finds_no_other_wait(tiny, method: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, batches = prepared(tiny, method, "cuda", f"precision={precision}", *ONE[method])
    network = run.make_method().train()
    optimiser = make_optimiser(run.config.optim, network.parameters())
    scaler = make_scaler(run.config.precision, run.device)
    read = train.loop.read_figures

    def reading(*figures: Any) -> Any:
        torch.cuda.set_sync_debug_mode("default")
        return read(*figures)

    monkeypatch.setattr(train.loop, "read_figures", reading)
    for step, batch in enumerate(batches):
        on_device = batch.pin_memory().to(run.device)
        if step:  # the first one makes what stays, such as the momentum
            torch.cuda.set_sync_debug_mode("error")
        try:
            chosen = step, 1.0, run.device, run.config.precision, scaler
            take_step(network, optimiser, [on_device], *chosen)
        finally:
            torch.cuda.set_sync_debug_mode("default")
