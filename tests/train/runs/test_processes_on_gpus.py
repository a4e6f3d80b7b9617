"""What a process that trains with others does first, on a machine with GPUs, as far as a CPU can show it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from train.runs import processes, side_by_side
from train.runs.processes import process_group


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """As process 1 of two on a machine with two GPUs. Holds what was done, in order."""
    done: list[Any] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: done.append(("takes", str(device))))
    monkeypatch.setattr(
        processes.dist,
        "init_process_group",
        lambda backend, device_id: done.append((backend, device_id and str(device_id))),
    )
    monkeypatch.setattr(processes.dist, "destroy_process_group", lambda: done.append("leaves"))
    return done


def test_it_takes_its_gpu_before_it_joins_the_others_by_nccl(done: list[Any]) -> None:
    with process_group():
        done.append("trains")
    assert done == [("takes", "cuda:1"), ("nccl", "cuda:1"), "trains", "leaves"]


def test_without_a_gpu_it_joins_by_gloo(done: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with process_group():
        pass
    assert done == [("gloo", None), "leaves"]


def test_a_run_beside_others_takes_its_gpu_before_anything_else(
    done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(side_by_side.tqdm, "set_lock", lambda lock: done.append("draws"))
    monkeypatch.setattr(side_by_side, "draw_in_row", lambda row: None)
    side_by_side._load(None, side_by_side._Slot(1, "cuda:1"))
    assert done == [("takes", "cuda:1"), "draws"]
