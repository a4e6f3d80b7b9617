"""Training in 16 bits, on the CPU: about the same losses, and checkpoints that do not tell."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from torch.amp import GradScaler

from lass3d_core.errors import Lass3dError
from lass3d_core.files.fingerprint import reasons
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from train.config import SavedRun, with_settings
from train.data.batches import StepBatches
from train.data.paired_scans import PairedScans
from train.loop import take_step
from train.methods.contract import SemiBatch
from train.optimiser import make_optimiser
from train.presets import PRESETS
from train.presets.demo import demo
from train.runs.checkpoint import load_latest
from train.runs.logs import read_log
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.train_run import train_run

CPU = torch.device("cpu")
SPEC = DatasetSpec("semantickitti", Path(), SplitSpec(("0",), ("1",), ("2",)))


def run_of(tiny, tag: str, method: str, *more: str) -> Run:
    settings = ("net.stem=8", "net.encoder=[8, 8, 8]", "net.decoder=[8, 8, 8]", "schedule.steps=6", *more)
    chosen = with_settings(demo("tiny", method, 20.0, 0), settings)
    return Run.of(chosen, PairedScans.open(tiny.artifacts), SPEC, RunFolder(tiny.run(tag)), CPU)


def floats_of(state: object) -> set[torch.dtype]:
    """The floating types in a tree of mappings."""
    if isinstance(state, torch.Tensor):
        return {state.dtype} if state.is_floating_point() else set()
    if isinstance(state, (dict, list, tuple)):
        values = state.values() if isinstance(state, dict) else state
        return set().union(*map(floats_of, values))
    return set()


@pytest.mark.parametrize(("half", "tolerance"), [("bfloat16", 0.05), ("float16", 0.01)])
@pytest.mark.parametrize("method", ["supervised", "mean_teacher", "lass3d"])
def test_16_bits_train_to_about_the_same_losses_and_save_float32(
    tiny, method: str, half: str, tolerance: float
) -> None:
    losses = {}
    for precision in ("float32", half):
        settings = (f"precision={precision}", "optim.max_grad_norm=1", "optim.peak_lr=0.003")
        run = run_of(tiny, precision, method, *settings)
        assert train_run(run, resume=False)
        losses[precision] = [float(row["loss"]) for row in read_log(run.folder.path / "log.csv")]
        last = load_latest(run.folder.checkpoints, run.saved.digest)
        assert floats_of(last.method) == floats_of(last.optimiser) == {torch.float32}
    assert losses["float32"] != losses[half]
    assert losses[half] == pytest.approx(losses["float32"], rel=tolerance)


def test_inner_rounds_run_in_bfloat16_too(tiny) -> None:
    run = run_of(tiny, "rounds", "lass3d", "precision=bfloat16", "method.pe_form=paper")
    method = run.make_method()
    seen: list[torch.dtype] = []
    method.safm.leave.register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    optimiser = make_optimiser(run.config.optim, method.parameters())
    batch = StepBatches(run.pairs, run.split, run.config.data, 0, run.levels, 1)[0]
    figures = take_step(method.train(), optimiser, [batch], 0, 0.0, CPU, "bfloat16")
    assert seen == [torch.bfloat16] * int(figures["updates"])
    assert figures["updates"] > 1


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_run_goes_on_bit_for_bit_where_it_was_stopped(tiny, precision: str) -> None:
    more = (f"precision={precision}", "schedule.checkpoint_every=3")
    whole, stopped = (run_of(tiny, tag, "lass3d", *more) for tag in ("whole", "stopped"))
    assert train_run(whole, resume=False)
    shutil.copytree(whole.folder.path, stopped.folder.path)
    (stopped.folder.checkpoints / "step-000006.pt").unlink()
    stopped.folder.metrics("val").unlink()
    assert train_run(stopped, resume=True)
    ends = [load_latest(run.folder.checkpoints, run.saved.digest).method for run in (whole, stopped)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def halvings(scale: float, batch: SemiBatch, run: Run) -> tuple[list[bool], list[dict[str, float]]]:
    """Three steps in float16 from this scale: whether the weights moved, and the figures of each step."""
    method = run.make_method().train()
    optimiser = make_optimiser(run.config.optim, method.parameters())
    scaler = GradScaler("cpu", init_scale=scale)
    moved, figures = [], []
    for step in range(3):
        before = [parameter.detach().clone() for parameter in method.parameters()]
        figures.append(take_step(method, optimiser, [batch], step, 1.0, CPU, "float16", scaler))
        moved.append(not all(map(torch.equal, before, method.parameters())))
    return moved, figures


def test_an_update_that_the_scale_made_infinite_is_left_out_and_the_scale_halved(tiny) -> None:
    run = run_of(tiny, "scaled", "supervised", "precision=float16", "method.alpha=0")
    batch = StepBatches(run.pairs, run.split, run.config.data, 0, run.levels, 1)[0]
    moved, figures = halvings(2.0**126, batch, run)
    assert not any(moved)
    assert [one["loss_scale"] for one in figures] == [2.0**125, 2.0**124, 2.0**123]
    assert not any(math.isfinite(one["gradient_norm"]) for one in figures)
    assert all(math.isfinite(one["loss"]) for one in figures)
    moved, figures = halvings(2.0**10, batch, run)
    assert all(moved) and figures[-1]["loss_scale"] == 2.0**10


def test_a_gradient_that_no_scale_makes_finite_ends_the_run(tiny) -> None:
    run = run_of(tiny, "spoilt", "supervised", "precision=float16")
    batch = StepBatches(run.pairs, run.split, run.config.data, 0, run.levels, 1)[0]
    method = run.make_method().train()
    optimiser = make_optimiser(run.config.optim, method.parameters())
    method.network.classifier[0].weight.register_hook(lambda gradient: gradient * math.nan)
    scaler = GradScaler("cpu", init_scale=2.0)
    take_step(method, optimiser, [batch], 0, 1.0, CPU, "float16", scaler)
    with pytest.raises(Lass3dError, match="step 1: the norm of the gradient is nan"):
        take_step(method, optimiser, [batch], 1, 1.0, CPU, "float16", scaler)


def test_the_precision_makes_another_run_and_is_saved(tmp_path: Path) -> None:
    full = demo("tiny", "lass3d", 20.0, 0)
    mixed = with_settings(full, ["precision=bfloat16"])
    records = [SavedRun(config, "p", "s").record for config in (full, mixed)]
    assert reasons(*records) == ["precision: float32 -> bfloat16"]
    SavedRun(mixed, "p", "s").save(tmp_path / "config.json")
    assert json.loads((tmp_path / "config.json").read_text())["config"]["precision"] == "bfloat16"


def test_published_recipes_are_mixed_and_those_for_a_cpu_are_not() -> None:
    mixed = {
        name for name, preset in PRESETS.items() if preset("x", "lass3d", 1.0, 0).precision == "bfloat16"
    }
    assert mixed == {"semantickitti", "scannet", "nuscenes"}
