from __future__ import annotations

import io
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.amp import GradScaler

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from train.__main__ import main
from train.config import SavedRun
from train.optimiser import OptimConfig, make_optimiser
from train.runs import checkpoint
from train.runs.checkpoint import checkpoints, load_latest, save
from train.runs.logs import read_log

ROOT = Path(__file__).parents[3]


def network(seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).square().sum().backward()
    optimiser.step()
    return model, optimiser


def test_weights_buffers_and_the_optimisers_state_come_back(tmp_path: Path) -> None:
    model, optimiser = network()
    save(tmp_path, 7, "run", model, optimiser)
    found = load_latest(tmp_path, "run")
    assert found.steps_done == 7
    assert all(torch.equal(found.method[name], value) for name, value in model.state_dict().items())
    _, other_optimiser = network(1)
    other_optimiser.load_state_dict(found.optimiser)
    for one, again in zip(optimiser.state.values(), other_optimiser.state.values()):
        assert all(torch.equal(one[name], again[name]) for name in one)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (999_999, 1_000_000, 1_000_001):
        save(tmp_path, step, "run", *network())
    assert [path.name for path in checkpoints(tmp_path)] == [
        "step-1000000.pt",
        "step-1000001.pt",
    ]


def test_a_flipped_byte_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    path = save(tmp_path, 1, "run", *network())
    whole = path.read_bytes()
    for place in [0, len(whole) - 1, *random.Random(0).sample(range(len(whole)), 40)]:
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(CorruptArtifact, match=r"step-000001\.pt is damaged"):
            load_latest(tmp_path, "run")


def test_torch_alone_opens_a_checkpoint(tmp_path: Path) -> None:
    path = save(tmp_path, 7, "run", *network())
    assert torch.load(path, weights_only=True)["steps_done"] == 7


@pytest.mark.parametrize("left", [0, 10, 64, 65, 500])
def test_a_truncated_file_is_noticed(tmp_path: Path, left: int) -> None:
    path = save(tmp_path, 1, "run", *network())
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(CorruptArtifact, match="train again"):
        load_latest(tmp_path, "run")


def test_the_message_names_the_older_checkpoint_that_is_left(tmp_path: Path) -> None:
    save(tmp_path, 1, "run", *network())
    save(tmp_path, 2, "run", *network()).write_bytes(b"")
    with pytest.raises(CorruptArtifact, match=r"delete it, and RESUME=1 goes on from step-000001"):
        load_latest(tmp_path, "run")


def test_a_checkpoint_of_another_run_is_stale(tmp_path: Path) -> None:
    save(tmp_path, 1, "run", *network())
    with pytest.raises(StaleArtifact, match="other settings or data"):
        load_latest(tmp_path, "another")


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The checkpoint at `path` as another version of the code would have written it."""
    values = torch.load(path, weights_only=True)
    change(values)
    content = io.BytesIO()
    torch.save(values, content)
    path.write_bytes(content.getvalue() + checkpoint._digest(content.getbuffer()))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda v: v["method"].update(new=v["method"].pop("0.bias")), "the weight 0.bias is missing"),
        (lambda v: v["method"].update(more=torch.ones(1)), "the weight more has no place"),
        (lambda v: v["method"].update({"0.bias": torch.ones(3)}), r"0.bias has the shape \(3,\), not \(4,\)"),
        (lambda v: v["method"].update({"0.bias": 7}), r"0.bias has the shape \(\), not \(4,\)"),
        (lambda v: v["optimiser"].pop("state"), "the optimiser: KeyError: 'state'"),
        (lambda v: v["optimiser"]["state"][1].pop("exp_avg_sq"), "the optimiser: exp_avg_sq is missing"),
        (lambda v: [one.pop("exp_avg") for one in v["optimiser"]["state"].values()], "exp_avg is missing"),
        (lambda v: v["optimiser"]["state"][0].update(exp_avg=torch.ones(4, 2)), "does not have the shape"),
        (lambda v: v["optimiser"]["param_groups"][0].pop("weight_decay"), "weight_decay is missing"),
        (lambda v: v["optimiser"]["param_groups"][0]["params"].pop(), "the optimiser: ValueError: "),
        (lambda v: v.pop("optimiser"), "it holds other fields than steps_done, "),
        (lambda v: v.update(random=torch.ones(1)), "it holds other fields than steps_done, "),
        (lambda v: v.update(steps_done="7"), "steps_done is a str"),
    ],
)
def test_a_checkpoint_of_another_version_is_one_line_that_says_so(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], why: str
) -> None:
    rewritten(save(tmp_path, 7, "run", *network()), change)
    with pytest.raises(StaleArtifact, match=why) as caught:
        load_latest(tmp_path, "run").restore(*network(1))
    line = str(caught.value)
    assert "\n" not in line and "delete" not in line
    assert re.search(
        r"step-000007\.pt was made by another version of the code .*check out that version", line
    )


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_state_of_either_optimiser_comes_back(tmp_path: Path, name: str) -> None:
    """Also that of one that has taken no step, and of a weight that has had no gradient."""
    model, _ = network()
    model.append(nn.Linear(4, 2))
    optimiser = make_optimiser(OptimConfig(name=name), model.parameters())
    for step in (0, 1):
        save(tmp_path, step, "run", model, optimiser)
        other = make_optimiser(OptimConfig(name=name), model.parameters())
        load_latest(tmp_path, "run").restore(model, other)
        assert str(other.state_dict()) == str(optimiser.state_dict())
        model[:2](torch.randn(5, 3)).square().sum().backward()
        optimiser.step()


def test_other_files_beside_the_checkpoints_are_left_alone(tmp_path: Path) -> None:
    save(tmp_path, 3, "run", *network())
    for name in ("step-best.pt", "step-000004.pt.bak", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000003.pt"]


def test_no_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match="make train"):
        load_latest(tmp_path, "run")


def final_state(run: Path) -> dict[str, torch.Tensor]:
    return load_latest(run / "checkpoints", SavedRun.load(run / "config.json").digest).method


@pytest.mark.slow
def test_a_killed_and_resumed_run_ends_with_the_same_weights_bit_for_bit(tiny) -> None:
    """kill -9 at a random moment after the first checkpoint."""
    long = (
        "--set",
        "schedule.steps=20",
        "--set",
        "schedule.checkpoint_every=2",
        "--set",
        "data.unlabelled_scans=1",
    )
    assert main(tiny.training(*long, "--tag", "whole", method="lass3d")) == 0
    arguments = tiny.training(*long, "--tag", "killed", method="lass3d")
    process = subprocess.Popen(
        [sys.executable, "-m", "train", *arguments], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    killed = tiny.run("lass3d-demo-r20-s0-killed")
    while not checkpoints(killed / "checkpoints"):
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(random.SystemRandom().uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "metrics-val.json").exists()

    assert main(arguments) == 2
    assert main([*arguments, "--resume"]) == 0
    whole, resumed = final_state(tiny.run("lass3d-demo-r20-s0-whole")), final_state(killed)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert [int(row["step"]) for row in read_log(killed / "log.csv")] == list(range(20))


def used_scaler() -> GradScaler:
    """A scaler that has grown nothing yet, at 8, after two updates."""
    method, optimiser = network()
    scaler = GradScaler("cpu", init_scale=8.0)
    for _ in range(2):
        scaler.scale(sum(parameter.sum() for parameter in method.parameters())).backward()
        scaler.step(optimiser)
        scaler.update()
    return scaler


def test_the_scale_of_float16_comes_back(tmp_path: Path) -> None:
    scaler, found = used_scaler(), GradScaler("cpu")
    save(tmp_path, 3, "run", *network(), scaler)
    load_latest(tmp_path, "run").restore(*network(1), found)
    assert found.state_dict() == scaler.state_dict()
    assert (found.get_scale(), found.state_dict()["_growth_tracker"]) == (8.0, 2)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda v: v.pop("scaler"), "the scaler: "),
        (lambda v: v["scaler"].pop("scale"), "the scaler: "),
        (lambda v: v.update(scaler=7.0), "scaler is a float"),
    ],
)
def test_a_scaler_of_another_version_is_one_line_that_says_so(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], why: str
) -> None:
    rewritten(save(tmp_path, 7, "run", *network(), used_scaler()), change)
    with pytest.raises(StaleArtifact, match=why) as caught:
        load_latest(tmp_path, "run").restore(*network(1), GradScaler("cpu"))
    assert "\n" not in str(caught.value)
