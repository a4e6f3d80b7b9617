from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from train.__main__ import main
from train.config import SavedRun
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
